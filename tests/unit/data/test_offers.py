"""What a file offers: signatures on one line, without bodies, documentation, comments or what is private."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.codebase.languages import PARSED, language_named
from tunesmith.data.codebase.offers import MAX_MEMBERS, MAX_OFFERS, MAX_SIGNATURE, Offer, is_public, offers
from tunesmith.data.codebase.parsing import Parsed, parse


def read(language: str, text: str) -> tuple[Offer, ...]:
    parsed = parse(text, language_named(language))
    assert isinstance(parsed, Parsed)
    return offers(parsed)


def written(language: str, text: str) -> list[str]:
    return [
        ("  " if offer.kind in ("method", "field") and "." in offer.qualname else "") + offer.signature
        for offer in read(language, text)
    ]


TEXTS = {
    "Python": (
        """
X: int = 3
__all__ = ["A"]
TABLE = {
    "a": "a long line that fills the table so that nobody wants to see the whole of it",
    "b": "and another one",
}
if True:
    type T = int
@deco
class A(B, metaclass=M):
    '''Doc.'''
    field: int = 3
    plain = 4
    def __init__(self, a,  # a comment
                 b=1):
        self.a = a
    @property
    def g(self) -> int: return 1
    @g.setter
    def g(self, to): ...
    def _inner(self): ...
async def h(
    a,
    *,
    b: int = 2,
) -> str:
    '''Doc.'''
def _private(): ...
""",
        ["X: int = 3", "type T = int", "class A(B, metaclass=M):", "  field: int", "  def __init__(self, a, b=1)",
         "  @property def g(self) -> int", "async def h(a, *, b: int = 2) -> str", "def _private()"],
    ),
    "JavaScript": (
        """
export default class Foo extends Bar { #p = 1; constructor(a) { } get x() { return 1 } async m(a, b=1) {} _q() {} }
export function f(a, /* c */ {b}) { return 1 }
export const g = (x) => x, K = 3;
function h() {}
function hidden() {}
export { h as other };
""",
        ["class Foo extends Bar", "  constructor(a)", "  get x()", "  async m(a, b=1)", "function f(a, {b})",
         "const g = (x)", "const K = 3", "function h()"],
    ),
    "TypeScript": (
        """
export interface I<T> extends J { a: number; m(x: string): void }
export type T1 = { a: 1 };
export enum E { A, B }
export abstract class C<T> implements I { private p: number; constructor(private a: string) { } abstract q(): void;
  protected r() {} public m<U>(a: U): Promise<void> { } static s(): void {} }
export declare function f(a: number): string;
export const fn = async (a: number): Promise<void> => { };
""",
        ["interface I<T> extends J", "  a: number", "  m(x: string): void", "type T1 = { a: 1 }", "enum E { A, B }",
         "abstract class C<T> implements I", "  constructor(private a: string)", "  abstract q(): void",
         "  public m<U>(a: U): Promise<void>", "  static s(): void", "function f(a: number): string",
         "const fn = async (a: number): Promise<void>"],
    ),
    "TSX": ("export const B = (p: P) => <b>{p.x}</b>;\nfunction inner() {}\n", ["const B = (p: P)"]),
    "Java": (
        """
/** doc */
@Ann(x=1) public final class A<T> extends B implements I {
  private int p; int q; public static final int K = 3;
  public A(int a) { }
  @Override public <U> String m(List<U> a) throws E { return ""; }
  private void pr() {}
}
interface I { int f(int a); }
enum E { A, B; public int q() { return 1; } }
record R(int a, String b) { }
""",
        ["public final class A<T> extends B implements I", "  public static final int K = 3", "  public A(int a)",
         "  public <U> String m(List<U> a) throws E", "interface I", "  int f(int a)", "enum E", "  public int q()",
         "record R(int a, String b)"],
    ),
    "Go": (
        """package p
// Doc.
type S struct { A int; b string }
func (s *S) M(a, b int) (string, error) { return "", nil }
type I interface { N(a int) error }
type (
  T = S
)
func F[T any](a ...T) int { return 1 }
const K = 3
func (o *Other) X() {}
""",
        ["type S struct { A int; b string }", "  func (s *S) M(a, b int) (string, error)", "type I interface",
         "  N(a int) error", "type T = S", "func F[T any](a ...T) int", "const K = 3", "  func (o *Other) X()"],
    ),
    "Rust": (
        """
/// doc
#[derive(Debug)]
pub struct S<T: A> where T: B { pub a: T, b: u8, pub c: Box<dyn Fn(u8)> }
pub struct Tu(pub u8);
pub(crate) enum E { A, B(u8) }
pub trait Tr: X { fn m(&self) -> u8; fn d(&self) {} }
impl<T> S<T> { pub fn new(a: u8) -> Self { } fn hidden(&self) {} }
impl<T> Tr for S<T> { fn m(&self) -> u8 { 1 } }
pub async unsafe fn f<'a>(x: &'a str) -> Result<(), E> where X: Y { }
macro_rules! mm { () => {} }
""",
        ["pub struct S<T: A> where T: B", "  pub a: T", "  pub c: Box<dyn Fn(u8)>", "  pub fn new(a: u8) -> Self",
         "pub struct Tu(pub u8)", "pub(crate) enum E { A, B(u8) }", "pub trait Tr: X", "  fn m(&self) -> u8",
         "  fn d(&self)", "pub async unsafe fn f<'a>(x: &'a str) -> Result<(), E> where X: Y", "macro_rules! mm"],
    ),
    "C": (
        """#ifndef G_H
#define G_H
#define N 3
#define M(a) ((a)+1)
struct S { int a; };
struct Forward;
typedef int (*fp)(int);
int f(int a, /* c */ char *b);
char *h(int a)
{ return 0; }
#ifdef __cplusplus
extern "C" {
#endif
void w(void);
#ifdef __cplusplus
}
#endif
#endif
""",
        ["#define N 3", "#define M(a) ((a)+1)", "struct S { int a; }", "typedef int (*fp)(int)",
         "int f(int a, char *b)", "char *h(int a)", "void w(void)"],
    ),
    "C++": (
        """
namespace a::b {
template <typename T> class C : public D<T> {
  int before();
 public:
  explicit C(int a) : x_(a) {}
  virtual ~C() = default;
  int m(const T& a) const override { return 1; }
  template <class U> U t(U u);
 private:
  void p();
};
struct S { int f() const { return 1; } };
enum class E : int { A };
int C::m() { return 2; }
namespace { int hidden() { return 1; } }
class API X : public Y { int a(); public: int b(); };
}
""",
        ["template <typename T> class C : public D<T>", "  explicit C(int a)", "  int m(const T& a) const override",
         "  template <class U> U t(U u)", "struct S", "  int f() const", "enum class E : int { A }",
         "class API X : public Y", "  int b()"],
    ),
    "C#": (
        """
namespace A.B {
[Attr] public abstract class C<T> : D where T : new() {
  private int p; public const int K = 3;
  public int Prop { get; set; }
  public C(int a) : base(a) { }
  public override async Task<int> M<U>(U a) { return 1; }
  void Pr() {}
}
public interface I { int F(int a); }
public record R(int A);
}
""",
        ["public abstract class C<T> : D where T : new()", "  public const int K = 3", "  public int Prop",
         "  public C(int a)", "  public override async Task<int> M<U>(U a)", "public interface I", "  int F(int a)",
         "public record R(int A)"],
    ),
    "Ruby": (
        """
module A
  K = 3
  class C < D::E
    # doc
    def initialize(a, b: 1)
      @a = a
    end
    def self.make(*args) = new
    private
    def hidden; end
  end
  def self.f(x)
  end
end
""",
        ["K = 3", "class C < D::E", "  def initialize(a, b: 1)", "  def self.make(*args)", "def self.f(x)"],
    ),
    "PHP": (
        """<?php
namespace A\\B;
const K = 3;
#[Attr] final class Q extends R { private $p; public int $q = 3;
 public function __construct(private int $a) {}
 public static function m(?string $b = null): ?array { return 1; }
 protected function pr() {} abstract function ab(); }
function top(int $a): int { return 1; }
""",
        ["const K = 3", "final class Q extends R", "  public int $q = 3",
         "  public function __construct(private int $a)",
         "  public static function m(?string $b = null): ?array", "  abstract function ab()",
         "function top(int $a): int"],
    ),
    "Kotlin": (
        """package a
/** doc */
@Ann
data class A<T>(val a: Int, private val b: T) : B(), I {
  val p: Int = 3
  private fun pr() {}
  fun <U> m(a: U): String { return "" }
  companion object { fun c() {} }
}
fun String.ext(a: Int = 3): Int = a
private fun g() {}
const val K = 3
""",
        ["data class A<T>(val a: Int, private val b: T) : B(), I", "  val p: Int = 3", "  fun <U> m(a: U): String",
         "  fun c()", "fun String.ext(a: Int = 3): Int", "const val K = 3"],
    ),
    "Scala": (
        """package a
case class A[T](a: Int) extends B with I {
  val p: Int = 3
  private def pr() = 1
  def m[U](a: U)(implicit b: C): String = ""
}
object O extends App { def z() = 1 }
trait I { def e: Int }
""",
        ["case class A[T](a: Int) extends B with I", "  val p: Int", "  def m[U](a: U)(implicit b: C): String",
         "object O extends App", "  def z()", "trait I", "  def e: Int"],
    ),
    "Bash": ("# doc\nf() { echo; }\nfunction g { local a; }\n", ["f()", "function g"]),
    "SQL": (
        "CREATE TABLE s.t (\n a INT PRIMARY KEY,\n b TEXT -- why\n);\nCREATE VIEW v AS SELECT a FROM t;\n",
        ["CREATE TABLE s.t (a INT PRIMARY KEY, b TEXT)", "CREATE VIEW v AS SELECT a FROM t"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("language", TEXTS)
def test_signatures_are_as_they_are_written_but_on_one_line(language: str) -> None:
    text, lines = TEXTS[language]
    assert written(language, text) == lines


def test_every_language_that_is_parsed_is_tried() -> None:
    assert set(TEXTS) == {language.name for language in PARSED}


def test_names_are_those_that_an_import_says() -> None:
    text = "export default class Foo { m() {} }\nfunction h() {}\nexport { h as other };\n"
    found = [(offer.name, offer.qualname, offer.kind) for offer in read("JavaScript", text)]
    assert found == [("default", "Foo", "class"), ("m", "Foo.m", "method"), ("other", "h", "function")]
    [offer] = read("JavaScript", "module.exports = function (a) {}\n")
    assert (offer.name, offer.signature) == ("default", "module.exports = function (a)")
    assert [o.name for o in read("JavaScript", "exports.k = (a) => 1;\nfunction f() {}\n")] == ["k", "f"]
    assert [o.qualname for o in read("Ruby", "module A\n module B\n  class C::D\n  end\n end\nend\n")] == ["A.B.D"]


def test_members_beyond_the_bound_and_offers_beyond_theirs_are_left() -> None:
    methods = "".join(f"    def m{i}(self): ...\n" for i in range(MAX_MEMBERS * 3))
    assert len(read("Python", f"class A:\n{methods}")) == 1 + MAX_MEMBERS
    assert len(read("Python", "".join(f"def f{i}(): ...\n" for i in range(MAX_OFFERS * 3)))) == MAX_OFFERS


def test_a_long_signature_ends_in_dots() -> None:
    [offer] = read("Python", f"def f({', '.join(f'argument_{i}: int' for i in range(5000))}) -> int: ...\n")
    assert len(offer.signature) == MAX_SIGNATURE
    assert offer.signature.startswith("def f(argument_0: int, ")
    assert offer.signature.endswith("...")


@pytest.mark.parametrize(
    ("language", "text", "public"),
    [
        ("Go", "package p\nfunc a() {}\nfunc B() {}\n", ["B"]),
        ("Rust", "fn a() {}\npub fn b() {}\n", ["b"]),
        ("Python", "def _a(): ...\ndef b(): ...\n", ["b"]),
    ],
)
def test_what_an_import_of_all_takes_is_public(language: str, text: str, public: list[str]) -> None:
    assert [offer.name for offer in read(language, text) if is_public(language, offer)] == public


@given(
    st.sampled_from(sorted(TEXTS)),
    st.integers(0, 900),
    st.sampled_from(["", "(", "{", "\n", '"', "/*", "class ", "\0"]),
)
def test_texts_that_break_off_give_lines_and_no_bodies(language: str, at: int, junk: str) -> None:
    text, _ = TEXTS[language]
    for offer in read(language, text[:at] + junk + text[at + 3 :]):
        assert offer.name
        assert len(offer.signature) <= MAX_SIGNATURE
        assert not any(c in offer.signature + offer.name + offer.qualname for c in "\n\t\r")
