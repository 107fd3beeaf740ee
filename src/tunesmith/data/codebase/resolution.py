"""Which files of a repository an import means: each language's own rules, inside the repository only.

In: the symbols of all files by their paths, and the manifests that say where modules lie (go.mod, composer.json,
package.json, tsconfig.json, Cargo.toml; others are of no use). Out: paths, with the names that are taken from each.
What leads out of the repository or into other people's packages leads nowhere. Where several files fit, the one with
most folders in common with the asking file is meant, then the shortest path, then the first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from tunesmith.data.codebase.imports import ALL, Import
from tunesmith.data.codebase.offers import Offer
from tunesmith.data.codebase.symbols import FileSymbols

MAX_PACKAGE_FILES = 200
"""Of a package that is imported as a whole and asked for no names."""
_REMEMBERED = 50_000
"""Answers that are kept, of 400 bytes each."""
_KEPT = 4096
"""Files that are kept unpacked: one is 10 kB."""

MANIFESTS = ("go.mod", "composer.json", "package.json", "tsconfig.json", "jsconfig.json", "Cargo.toml")
"""Names of the files that an index reads, wherever they lie."""

Pairs = tuple[tuple[str, str], ...]


class Target(NamedTuple):
    """A file that an import means."""

    path: str
    pairs: Pairs | None
    """Names as the file has them with what the asking file calls them, ALL among them; None: the file as a whole."""


class Unpacked(NamedTuple):
    """A file's symbols as they are looked at."""

    imports: tuple[Import, ...]
    offers: tuple[Offer, ...]
    owners: tuple[int | None, ...]
    """Of each offer the place of the class that it is a member of; None of what stands at the top."""
    tops: dict[str, tuple[int, ...]]
    """Places of what stands at the top, by name."""


class Index:
    """All files of a repository by what they are asked for."""

    def __init__(self, files: Mapping[str, FileSymbols], manifests: Mapping[str, str] | None = None) -> None:
        self.files = files
        self._unpacked: dict[str, Unpacked] = {}
        self._names: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {}
        self._remembered: dict[tuple[str, str, Import], tuple[Target, ...]] = {}
        self._suffixes: dict[str, tuple[str, ...]] = {}
        self._by_name: dict[str, list[str]] = {}
        self._packages: dict[tuple[str, str], list[str]] = {}
        for path in sorted(files):
            self._by_name.setdefault(_name(path), []).append(path)
            if (key := self._key(path)) is not None:
                self._packages.setdefault(key, []).append(path)
        self.python_roots = _python_roots(files)
        self.go_modules = dict(_go_modules(manifests or {}))
        self.crates = dict(_crates(files, manifests or {}))
        self.psr4 = tuple(_psr4(manifests or {}))
        self.npm = dict(_npm(manifests or {}))
        self.aliases = tuple(_aliases(manifests or {}))

    def resolve(self, path: str, found: Import) -> tuple[str, ...]:
        """The files that an import of a file means, never the file itself."""
        return tuple(dict.fromkeys(target.path for target in self.targets(path, found)))

    def targets(self, path: str, found: Import, words: frozenset[str] | None = None) -> tuple[Target, ...]:
        """The same with names; of whole packages only files that offer one of `words`, where they are given."""
        language = self.files[path].language
        rule = _RULES.get(language)
        if rule is None:
            return ()
        if language not in _BY_FOLDER:
            return tuple(target for target in rule(self, path, found, words) if target.path != path)
        # Neighbours import the same: three of four are known already.
        key = language, _folder(path), found
        if key not in self._remembered:
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = tuple(rule(self, path, found, words))
        return tuple(target for target in self._remembered[key] if target.path != path)

    def own_package(self, path: str, words: frozenset[str]) -> tuple[Target, ...]:
        """What of `words` a file sees without an import: of its package or namespace, public or not."""
        key = self._key(path)
        names = {} if key is None else self.names(key)
        found: dict[str, list[tuple[str, str]]] = {}
        for name in sorted(words & names.keys()):
            places = [place for place in names[name] if place != path]
            if len(places) == len(names[name]):  # else it is the file's own
                found.setdefault(_nearest(path, places), []).append((name, name))
        return tuple(Target(place, tuple(pairs)) for place, pairs in sorted(found.items()))

    def unpacked(self, path: str) -> Unpacked:
        if path not in self._unpacked:
            if len(self._unpacked) >= _KEPT:
                self._unpacked.clear()
            self._unpacked[path] = _unpacked(self.files[path])
        return self._unpacked[path]

    def is_file(self, path: str, *languages: str) -> bool:
        return path in self.files and self.files[path].language in languages

    def has_package(self, key: tuple[str, str]) -> bool:
        return key in self._packages

    def in_package(self, key: tuple[str, str], path: str, words: frozenset[str] | None) -> Iterator[Target]:
        """Files of a package, in the order of their paths."""
        if words is None:
            yield from (Target(file, None) for file in self._packages.get(key, ())[:MAX_PACKAGE_FILES])
            return
        names = self.names(key)
        for file in sorted({_nearest(path, names[name]) for name in words & names.keys()}):
            yield Target(file, None)

    def names(self, key: tuple[str, str]) -> dict[str, tuple[str, ...]]:
        """What the files of a package offer, with the files that do."""
        if key not in self._names:
            found: dict[str, dict[str, None]] = {}
            for path in self._packages.get(key, ()):
                for offer in self.files[path].offers:
                    if "." not in offer.qualname or key[0] == "Go":
                        found.setdefault(offer.name, {})[path] = None
            self._names[key] = {name: tuple(paths) for name, paths in found.items()}
        return self._names[key]

    def ending_in(self, relative: str) -> tuple[str, ...]:
        """Files whose paths end in one."""
        if relative not in self._suffixes:
            fits = (p for p in self._by_name.get(_name(relative), ()) if p == relative or p.endswith("/" + relative))
            self._suffixes[relative] = tuple(fits)
        return self._suffixes[relative]

    def _key(self, path: str) -> tuple[str, str] | None:
        """Under what a file's package is known: a family of languages and a name. Of Go the folder is the package."""
        symbols = self.files[path]
        family = _FAMILIES.get(symbols.language)
        if family == "Go":
            return None if path.endswith("_test.go") else (family, _folder(path))
        return None if family is None else (family, symbols.package)


def _unpacked(symbols: FileSymbols) -> Unpacked:
    offers = symbols.offers
    owners: list[int | None] = []
    tops: dict[str, tuple[int, ...]] = {}
    last = None  # the class that members may follow
    for place, offer in enumerate(offers):
        if offer.kind not in ("method", "field"):
            last = place if offer.kind == "class" else None
        is_inner = offer.kind in ("method", "field") and last is not None
        is_inner = is_inner and offer.qualname.rpartition(".")[0] == offers[last or 0].qualname
        owners.append(last if is_inner else None)
        if not is_inner:
            tops[offer.name] = (*tops.get(offer.name, ()), place)
    return Unpacked(symbols.imports, offers, tuple(owners), tops)


def _python(index: Index, path: str, found: Import, _words: frozenset[str] | None) -> Iterator[Target]:
    parts = found.module.split(".") if found.module else []
    if found.level:
        folder: str | None = _folder(path)
        for _ in range(min(found.level - 1, 100)):
            folder = _above(folder)
        if folder is not None:
            yield from _python_at(index, "/".join(filter(None, (folder, *parts))), _pairs(found))
        return
    for root in _python_places(index, path, found.module):
        targets = tuple(_python_at(index, "/".join(filter(None, (root, *parts))), _pairs(found)))
        if targets:
            yield from targets
            return


def _python_places(index: Index, path: str, module: str) -> Iterator[str]:
    """Folders from which an absolute name may be meant: those above the file, nearest first, then other roots."""
    top = module.partition(".")[0]
    roots = index.python_roots.get(top, ())
    own = list(_folders(path))
    yield from (folder for folder in own if folder in roots)
    others = [root for root in roots if root not in own]
    if "." not in module:  # too little to go by, but for a package or a folder that is named as roots are
        others = [r for r in others if _name(r) in _ROOT_NAMES or _inside(r, top) + "/__init__.py" in index.files]
    far = {root: _distance(path, root + "/x") for root in others}
    yield from sorted(others, key=lambda root: (far[root][0], _name(root) not in _ROOT_NAMES, far[root]))


def _python_at(index: Index, base: str, pairs: Pairs | None) -> Iterator[Target]:
    """A module or a package; names of a package that are modules in it are these modules."""
    own = _first_file(index, [f"{base}/__init__.py", f"{base}/__init__.pyi", f"{base}.py", f"{base}.pyi"], "Python")
    rest: list[tuple[str, str]] = []
    for name, alias in pairs or ():
        if name == ALL:
            rest.append((name, alias))
            continue
        inner = f"{base}/{name}" if base else name
        places = [f"{inner}.py", f"{inner}/__init__.py", f"{inner}.pyi", f"{inner}/__init__.pyi"]
        module = None if own is not None and own.startswith(f"{base}.") else _first_file(index, places, "Python")
        if module is None:
            rest.append((name, alias))
        else:
            yield Target(module, None)
    if own is not None and (pairs is None or rest):
        yield Target(own, None if pairs is None else tuple(rest))


def _web(index: Index, path: str, found: Import, _words: frozenset[str] | None) -> Iterator[Target]:
    module = found.module.partition("?")[0]
    bases: list[str | None] = []
    if module.startswith("."):
        bases.append(_join(_folder(path), module))
    elif not module.startswith("/"):
        bases += _aliased(index, path, module)
        bases += _in_npm(index, module)
    for base in bases:
        file = None if base is None else _web_file(index, base)
        if file is not None:
            yield Target(file, _pairs(found))
            return


def _web_file(index: Index, base: str) -> str | None:
    stem, dot, ending = base.rpartition(".")
    places = [base]
    if dot and ending in _TYPED:
        places += [f"{stem}.{typed}" for typed in _TYPED[ending]]
    places += [base + ending for ending in _WEB_ENDINGS]
    places += [f"{base}/index{ending}" if base else f"index{ending}" for ending in _WEB_ENDINGS]
    return _first_file(index, places, *_WEB)


def _aliased(index: Index, path: str, module: str) -> list[str | None]:
    """By the paths of the nearest tsconfig.json: a prefix before a star, or a whole name."""
    near = [alias for alias in index.aliases if _is_below(path, alias.folder)]
    near.sort(key=lambda alias: (-len(alias.folder), -len(alias.prefix)))
    found = []
    for alias in near:
        if module == alias.prefix or (alias.is_open and module.startswith(alias.prefix)):
            rest = module[len(alias.prefix) :] if alias.is_open else ""
            found.append(_join(alias.folder, alias.place + rest))
    return found


def _in_npm(index: Index, module: str) -> list[str | None]:
    """A package of the same repository, by the name that its package.json gives it."""
    parts = module.split("/")
    for count in (2, 1) if module.startswith("@") else (1,):
        package = index.npm.get("/".join(parts[:count]))
        if package is not None:
            rest = "/".join(parts[count:])
            places = [rest, f"src/{rest}", f"lib/{rest}"] if rest else [*package.entries, "src", "lib", ""]
            return [_join(package.folder, place) for place in places]
    return []


def _packaged(index: Index, path: str, found: Import, words: frozenset[str] | None) -> Iterator[Target]:
    """Java, Kotlin, Scala, C#, PHP: a class by the package that its file names, or all of a package."""
    family = _FAMILIES[index.files[path].language]
    if family == "PHP" and found.level:
        yield from _beside(index, path, found, words)
        return
    for name, alias in _pairs(found) or ((ALL, ALL),):
        key = (family, found.module)
        if name == ALL and index.has_package(key):
            yield from index.in_package(key, path, words)
        elif name == ALL or found.module:
            yield from _of_package(index, path, family, found.module, name, alias)


def _of_package(index: Index, path: str, family: str, module: str, name: str, alias: str) -> Iterator[Target]:
    """A class, or something of a class: a.b.C.m is looked for as m of a.b.C, C of a.b, b of a."""
    if name == ALL:
        module, _, name = module.rpartition(".")
        alias = name
    for _ in range(3):
        file = _class_file(index, path, family, module, name)
        if file is not None:
            yield Target(file, ((name, alias),))
            return
        if "." not in module:
            return
        module, _, name = module.rpartition(".")


def _class_file(index: Index, path: str, family: str, module: str, name: str) -> str | None:
    key = (family, module)
    if index.has_package(key):
        places = index.names(key).get(name, ())
        if places:
            return _nearest(path, places)
    for prefix, folder in index.psr4 if family == "PHP" else ():
        full = f"{module}.{name}"
        if full.startswith(prefix):
            place = _join(folder, full[len(prefix) :].replace(".", "/") + ".php")
            if place is not None and index.is_file(place, "PHP"):
                return place
    return None


def _go(index: Index, path: str, found: Import, words: frozenset[str] | None) -> Iterator[Target]:
    for module, folder in index.go_modules.items():
        if found.module == module or found.module.startswith(module + "/"):
            place = _join(folder, found.module[len(module) :].strip("/"))
            yield from index.in_package(("Go", place or ""), path, words)
            return
    parts = found.module.split("/")
    if index.go_modules or len(parts) < 3:
        return
    # Without a go.mod: as much of the end as there is a folder for, but two names at least; one says too little.
    for start in range(1, len(parts) - 1):
        if index.has_package(("Go", "/".join(parts[start:]))):
            yield from index.in_package(("Go", "/".join(parts[start:])), path, words)
            return


def _rust(index: Index, path: str, found: Import, _words: frozenset[str] | None) -> Iterator[Target]:
    crate = _crate_of(index, path)
    here = _rust_module(path, crate)
    for name, alias in _pairs(found) or ((ALL, ALL),):
        wanted = [*found.module.split("::"), *(() if name == ALL else (name,))]
        start = _rust_start(index, wanted, crate, here)
        if start is None:
            continue
        root, parts = start
        file, left = _rust_file(index, root, parts, path)
        if file is not None:
            whole = ((ALL, ALL),) if found.names and name == ALL else None
            yield Target(file, ((left[0], alias if len(left) == 1 else left[0]),) if left else whole)


def _rust_start(index: Index, wanted: list[str], crate: str, here: list[str]) -> tuple[str, list[str]] | None:
    """A crate's root folder and the modules from there."""
    first = wanted[0]
    if first == "crate":
        return crate, wanted[1:]
    if first == "self":
        return crate, here + wanted[1:]
    if first == "super":
        above = next((i for i, word in enumerate(wanted) if word != "super"), len(wanted))
        return (crate, here[: len(here) - above] + wanted[above:]) if above <= len(here) else None
    if any(index.is_file(place, "Rust") for place in _rust_places(crate, [*here, first])):
        return crate, here + wanted
    return (index.crates[first], wanted[1:]) if first in index.crates else None


def _rust_file(index: Index, root: str, parts: list[str], path: str) -> tuple[str | None, list[str]]:
    """The deepest module that has a file of its own, and what of the path lies within it."""
    for count in range(min(len(parts), 20), -1, -1):
        file = _first_file(index, _rust_places(root, parts[:count]), "Rust")
        if file is not None:
            return (None if file == path else file), parts[count:]
    return None, []


def _rust_places(root: str, parts: list[str]) -> list[str]:
    base = "/".join(filter(None, (root, *parts)))
    if not parts:
        return [_inside(root, "lib.rs"), _inside(root, "main.rs")]
    return [f"{base}.rs", f"{base}/mod.rs"]


def _crate_of(index: Index, path: str) -> str:
    """The folder of the crate's root: the nearest above that has one, else the file's own."""
    for folder in _folders(path):
        if _inside(folder, "lib.rs") in index.files or _inside(folder, "main.rs") in index.files:
            return folder
    return _folder(path)


def _rust_module(path: str, crate: str) -> list[str]:
    parts = path[len(crate) :].strip("/").removesuffix(".rs").split("/")
    if parts[-1] == "mod" or parts in (["lib"], ["main"]):
        parts = parts[:-1]
    return parts


def _c(index: Index, path: str, found: Import, _words: frozenset[str] | None) -> Iterator[Target]:
    """Beside the file for quotes; else any file whose path ends so. <x.h> alone is the system's."""
    if found.level:
        place = _join(_folder(path), found.module)
        if place is not None and index.is_file(place, "C", "C++"):
            yield Target(place, None)
            return
    if not found.level and "/" not in found.module:
        return
    fitting = [p for p in _suffixed(index, found.module) if index.is_file(p, "C", "C++")]
    if fitting:
        yield Target(_nearest(path, fitting), None)


def _ruby(index: Index, path: str, found: Import, _words: frozenset[str] | None) -> Iterator[Target]:
    name = found.module if found.module.endswith(".rb") else found.module + ".rb"
    if found.level or name.startswith("."):
        place = _join(_folder(path), name)
        fitting = [] if place is None else [place]
    else:
        fitting = [p for p in _suffixed(index, name) if p == name or p[: -len(name)].endswith(("lib/", "app/"))]
    fitting = [p for p in fitting if index.is_file(p, "Ruby")]
    if fitting:
        yield Target(_nearest(path, fitting), None)


def _beside(index: Index, path: str, found: Import, _words: frozenset[str] | None) -> Iterator[Target]:
    """Bash and PHP's require: beside the file, from the root of the repository, else the only file that ends so."""
    language = index.files[path].language
    for folder in (_folder(path), ""):
        place = _join(folder, found.module)
        if place is not None and index.is_file(place, language):
            yield Target(place, None)
            return
    fitting = [p for p in _suffixed(index, found.module) if index.is_file(p, language) and p != path]
    if len(fitting) == 1:
        yield Target(fitting[0], None)


def _suffixed(index: Index, relative: str) -> tuple[str, ...]:
    """Files that end in a path without dots; ../ in front is dropped, since who includes from where is not known."""
    place = _join("", re.sub(r"^(?:\.\.?/)+", "", relative))
    return index.ending_in(place) if place else ()


def _pairs(found: Import) -> Pairs | None:
    if not found.names:
        return None
    return tuple(zip(found.names, found.aliases or found.names, strict=True))


def _first_file(index: Index, places: Iterable[str], *languages: str) -> str | None:
    return next((place for place in places if index.is_file(place, *languages)), None)


def _nearest(path: str, places: Iterable[str]) -> str:
    return min(places, key=lambda place: _distance(path, place))


def _distance(path: str, place: str) -> tuple[int, int, str]:
    """How far a file is: by folders in common, then by its length, then by its name."""
    shared = 0
    for one, other in zip(path.split("/")[:-1], place.split("/")[:-1], strict=False):
        if one != other:
            break
        shared += 1
    return -shared, place.count("/"), place


def _join(folder: str, relative: str) -> str | None:
    """A path from a folder, without dots; None if it leads out of the repository."""
    if relative.startswith("/") or "\\" in relative or "\0" in relative:
        return None
    parts = folder.split("/") if folder else []
    for part in relative.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _above(folder: str | None) -> str | None:
    """None above the repository."""
    return folder.rpartition("/")[0] if folder else None


def _folders(path: str) -> Iterator[str]:
    """Those above a file, from its own to the repository's."""
    folder: str | None = _folder(path)
    while folder is not None:
        yield folder
        folder = _above(folder)


def _inside(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _is_below(path: str, folder: str) -> bool:
    return not folder or path.startswith(folder + "/")


def _python_roots(files: Mapping[str, FileSymbols]) -> dict[str, tuple[str, ...]]:
    """First names of absolute imports -> folders that they may lie in: any that is no package itself.

    A module alone counts in every folder above the asking file, and in those named as roots are.
    """
    paths = [path for path in files if files[path].language == "Python"]
    packages = {_folder(path) for path in paths if _name(path) in ("__init__.py", "__init__.pyi")}
    found: dict[str, dict[str, None]] = {}
    folders = {folder for path in paths for folder in _folders(path)} - {""}
    for folder in sorted(folders):
        above = _folder(folder)
        if above not in packages:
            found.setdefault(_name(folder), {})[above] = None
    for path in sorted(paths):
        folder = _folder(path)
        if folder not in packages:
            found.setdefault(_name(path).rpartition(".")[0], {})[folder] = None
    return {name: tuple(roots) for name, roots in found.items()}


def _go_modules(manifests: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The longest first, so that a module within another one is found."""
    named = []
    for path in sorted(manifests):
        said = re.search(r"^module[ \t]+\"?([^\s\"]+)", manifests[path], re.M) if _name(path) == "go.mod" else None
        if said is not None:
            named.append((said[1], _folder(path)))
    yield from sorted(named, key=lambda pair: (-len(pair[0]), pair))


def _crates(files: Mapping[str, FileSymbols], manifests: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Names of crates, as code writes them -> the folder of their roots; by the folder's name where no manifest is."""
    for path in sorted(files):
        if path.endswith("/src/lib.rs"):
            yield _name(path.removesuffix("/src/lib.rs")).replace("-", "_"), _folder(path)
    for path in sorted(manifests):
        if _name(path) == "Cargo.toml":
            said = re.search(r"^\[package\][^\[]*?^name[ \t]*=[ \t]*\"([\w-]+)\"", manifests[path], re.M)
            if said is not None:
                yield said[1].replace("-", "_"), _inside(_folder(path), "src")


def _psr4(manifests: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Prefixes of classes with dots -> folders, the longest first."""
    found = []
    for folder, said in _objects(manifests, "composer.json"):
        for part in ("autoload", "autoload-dev"):
            for prefix, places in _items(_items_of(said, part), "psr-4"):
                for place in [places] if isinstance(places, str) else places if isinstance(places, list) else []:
                    joined = _join(folder, place) if isinstance(place, str) else None
                    if joined is not None:
                        found.append((prefix.replace("\\", "."), joined))
    yield from sorted(found, key=lambda pair: (-len(pair[0]), pair))


class _Package(NamedTuple):
    folder: str
    entries: tuple[str, ...]


def _npm(manifests: Mapping[str, str]) -> Iterator[tuple[str, _Package]]:
    for folder, said in _objects(manifests, "package.json"):
        if isinstance(said.get("name"), str):
            entries = (said.get(word) for word in ("source", "types", "module", "main"))
            yield str(said["name"]), _Package(folder, tuple(entry for entry in entries if isinstance(entry, str)))


class _Alias(NamedTuple):
    folder: str
    prefix: str
    is_open: bool
    place: str


def _aliases(manifests: Mapping[str, str]) -> Iterator[_Alias]:
    """`paths` of the settings of TypeScript; what its `extends` names is not followed."""
    for name in ("tsconfig.json", "jsconfig.json"):
        for folder, said in _objects(manifests, name):
            options = _items_of(said, "compilerOptions")
            root = options.get("baseUrl", ".")
            above = root if isinstance(root, str) else "."
            for prefix, places in _items(options, "paths"):
                for place in places if isinstance(places, list) else ():
                    if isinstance(place, str):
                        yield _Alias(folder, prefix.rstrip("*"), prefix.endswith("*"), f"{above}/{place.rstrip('*')}")
            if "baseUrl" in options:
                yield _Alias(folder, "", True, above + "/")


def _objects(manifests: Mapping[str, str], name: str) -> Iterator[tuple[str, dict[str, object]]]:
    """Folders and contents of the manifests of a name; those that are no JSON, comments apart, say nothing."""
    for path in sorted(manifests):
        if _name(path) != name:
            continue
        text = _COMMENT.sub(r"\1", manifests[path][:_LONGEST_MANIFEST])
        try:
            said = json.loads(_LAST_COMMA.sub(r"\1", text))
        except (ValueError, RecursionError):
            continue
        if isinstance(said, dict):
            yield _folder(path), said


def _items_of(said: Mapping[str, object], name: str) -> dict[str, object]:
    inner = said.get(name)
    return inner if isinstance(inner, dict) else {}


def _items(said: Mapping[str, object], name: str) -> Iterator[tuple[str, object]]:
    yield from _items_of(said, name).items()


_LONGEST_MANIFEST = 1_000_000
_COMMENT = re.compile(r"""("[^"\\]*(?:\\.[^"\\]*)*"?)|//[^\n]*|/\*[^*]*(?:\*(?!/)[^*]*)*(?:\*/)?""", re.S)
_LAST_COMMA = re.compile(r"""("[^"\\]*(?:\\.[^"\\]*)*"?)|,(?=\s*[}\]])""", re.S)
"""Neither backs up over more than a character, whatever is left open."""
_ROOT_NAMES = ("src", "lib", "python")
_WEB = ("JavaScript", "TypeScript", "TSX")
_WEB_ENDINGS = (".ts", ".tsx", ".d.ts", ".js", ".jsx", ".mjs", ".cjs", ".mts", ".cts")
_TYPED = {"js": ("ts", "tsx", "d.ts"), "jsx": ("tsx",), "mjs": ("mts",), "cjs": ("cts",)}
"""What a file may be written in that is imported by the name that it is compiled to."""
_FAMILIES = {"Java": "JVM", "Kotlin": "JVM", "Scala": "JVM", "C#": "C#", "PHP": "PHP", "Go": "Go"}
"""Languages whose files name their package, or lie in its folder; those of one family see each other's."""
_BY_FOLDER = ("Python", "JavaScript", "TypeScript", "TSX", "C", "C++", "Ruby")
"""Languages in which an import means the same in all files of a folder, but for the file itself."""
Rule = Callable[[Index, str, Import, frozenset[str] | None], Iterator[Target]]
_RULES: dict[str, Rule] = {
    "Python": _python, "JavaScript": _web, "TypeScript": _web, "TSX": _web, "Java": _packaged, "Kotlin": _packaged,
    "Scala": _packaged, "C#": _packaged, "PHP": _packaged, "Go": _go, "Rust": _rust, "C": _c, "C++": _c, "Ruby": _ruby,
    "Bash": _beside,
}  # fmt: skip
