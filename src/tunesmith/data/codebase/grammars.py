"""How each grammar writes what units.py looks for: one table, all of it seen in trees of those grammars.

Captures of a query: @function and @class are units, with @name, @body and @owner (the type that a function belongs to
where it does not stand inside it). @closure is code without a name: what is declared in it needs its surroundings.
@open is a function that is the file itself (`(function () { ... })()`), @loader what calls it. @comment; @attribute is
what stands beside the unit that it belongs to. No two patterns name the same node as a unit. Nothing here runs.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """What units look like in the trees of one grammar."""

    query: str
    outer: frozenset[str]
    """Nodes that belong to the unit in them: decorators, `export`, `template <...>`."""
    blocks: frozenset[str]
    """Bodies whose children are statements or members; every other body is one expression."""
    strings: str
    """A query: literals in which the indentation of a line is content."""
    docstring: bool = False
    """The documentation is the first string of a body."""
    semicolon: bool = False
    """A semicolon behind the node belongs to the unit."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _any(types: str) -> str:
    return "[" + " ".join(f"({name})" for name in types.split()) + "] @string"


_ANONYMOUS = (
    "[(function_expression body: (_) @body) (generator_function body: (_) @body) (arrow_function body: (_) @body)]"
)
_JAVASCRIPT = f"""
(comment) @comment
(function_declaration name: (_) @name body: (_) @body) @function
(generator_function_declaration name: (_) @name body: (_) @body) @function
(class_declaration name: (_) @name body: (_) @body) @class
(class_body (method_definition name: (_) @name body: (_) @body) @function)
(export_statement value: {_ANONYMOUS}) @function
(export_statement value: (class body: (_) @body)) @class
(lexical_declaration . (variable_declarator name: (identifier) @name value: {_ANONYMOUS}) .) @function
(variable_declaration . (variable_declarator name: (identifier) @name value: {_ANONYMOUS}) .) @function
(lexical_declaration . (variable_declarator name: (identifier) @name value: (class body: (_) @body)) .) @class
(variable_declaration . (variable_declarator name: (identifier) @name value: (class body: (_) @body)) .) @class
(expression_statement (assignment_expression left: (member_expression) @name right: {_ANONYMOUS})) @function
(expression_statement (assignment_expression left: (member_expression) @name right: (class body: (_) @body))) @class
(program (expression_statement
  (call_expression function: (parenthesized_expression [(function_expression) (arrow_function)] @open))))
(program (expression_statement
  (parenthesized_expression (call_expression function: [(function_expression) (arrow_function)] @open))))
(program (expression_statement (call_expression
  function: [(parenthesized_expression) (function_expression)]
  arguments: (arguments [(function_expression) (arrow_function)] @open))))
(program (expression_statement (parenthesized_expression (call_expression
  function: (function_expression) arguments: (arguments [(function_expression) (arrow_function)] @open)))))
(program (expression_statement (call_expression
  function: (identifier) @loader arguments: (arguments [(function_expression) (arrow_function)] @open)))
  (#any-of? @loader "define" "require" "$" "jQuery"))
[(function_expression) (generator_function) (arrow_function) (method_definition)] @closure
[(arguments (class) @closure) (pair value: (class) @closure)]
"""
_TYPESCRIPT = f"""
{_JAVASCRIPT}
(abstract_class_declaration name: (_) @name body: (_) @body) @class
(interface_declaration name: (_) @name body: (_) @body) @class
(enum_declaration name: (_) @name body: (_) @body) @class
(class_body (public_field_definition name: (_) @name value: {_ANONYMOUS}) @function)
(class_body (decorator) @attribute)
"""
_SCRIPT_OUTER = _words("export_statement ambient_declaration")
_SCRIPT_BLOCKS = _words("program statement_block class_body interface_body enum_body")
_SCRIPT_STRINGS = _any("template_string string")
_JAVASCRIPT_SHAPE = Shape(
    query=f"{_JAVASCRIPT} (class_body (field_definition property: (_) @name value: {_ANONYMOUS}) @function)",
    outer=_SCRIPT_OUTER,
    blocks=_SCRIPT_BLOCKS,
    strings=_SCRIPT_STRINGS,
)
_TYPESCRIPT_SHAPE = Shape(_TYPESCRIPT, _SCRIPT_OUTER, _SCRIPT_BLOCKS, _SCRIPT_STRINGS)

_C = """
(comment) @comment
(function_definition declarator: (_) @name body: (_) @body) @function
(struct_specifier name: (_) @name body: (_) @body) @class
(union_specifier name: (_) @name body: (_) @body) @class
(enum_specifier name: (_) @name body: (_) @body) @class
(type_definition type: (struct_specifier body: (_) @body) declarator: (type_identifier) @name) @class
(type_definition type: (union_specifier body: (_) @body) declarator: (type_identifier) @name) @class
(type_definition type: (enum_specifier body: (_) @body) declarator: (type_identifier) @name) @class
"""
_C_OUTER = _words("type_definition declaration field_declaration linkage_specification template_declaration")
_C_BLOCKS = _words("translation_unit compound_statement field_declaration_list enumerator_list")

SHAPES: dict[str, Shape] = {
    "Python": Shape(
        query="""
(comment) @comment
(function_definition name: (_) @name body: (_) @body) @function
(class_definition name: (_) @name body: (_) @body) @class
""",
        outer=_words("decorated_definition"),
        blocks=_words("module block"),
        strings=_any("string"),
        docstring=True,
    ),
    "JavaScript": _JAVASCRIPT_SHAPE,
    "TypeScript": _TYPESCRIPT_SHAPE,
    "TSX": _TYPESCRIPT_SHAPE,
    "Java": Shape(
        query="""
[(line_comment) (block_comment)] @comment
(method_declaration name: (_) @name body: (_) @body) @function
(constructor_declaration name: (_) @name body: (_) @body) @function
(compact_constructor_declaration name: (_) @name body: (_) @body) @function
(class_declaration name: (_) @name body: (_) @body) @class
(interface_declaration name: (_) @name body: (_) @body) @class
(enum_declaration name: (_) @name body: (_) @body) @class
(record_declaration name: (_) @name body: (_) @body) @class
(annotation_type_declaration name: (_) @name body: (_) @body) @class
(object_creation_expression (class_body) @closure)
(enum_constant body: (_) @closure)
(lambda_expression) @closure
""",
        outer=frozenset(),
        blocks=_words(
            "program block constructor_body class_body interface_body enum_body enum_body_declarations"
            " annotation_type_body"
        ),
        strings=_any("string_literal"),
    ),
    "Go": Shape(
        query="""
(comment) @comment
(function_declaration name: (_) @name body: (_) @body) @function
(method_declaration receiver: (_) @owner name: (_) @name body: (_) @body) @function
(type_declaration . (type_spec name: (_) @name type: (struct_type (_) @body)) .) @class
(type_declaration . (type_spec name: (_) @name
  type: [(interface_type) (function_type) (map_type)] @body) .) @class
(func_literal) @closure
""",
        outer=frozenset(),
        blocks=_words("source_file block statement_list field_declaration_list interface_type"),
        strings=_any("raw_string_literal"),
    ),
    "Rust": Shape(
        query="""
[(line_comment) (block_comment)] @comment
(attribute_item) @attribute
(function_item name: (_) @name body: (_) @body) @function
(struct_item name: (_) @name body: (_)? @body) @class
(union_item name: (_) @name body: (_) @body) @class
(enum_item name: (_) @name body: (_) @body) @class
(trait_item name: (_) @name body: (_) @body) @class
(impl_item type: (_) @name body: (_) @body) @class
(closure_expression) @closure
""",
        outer=frozenset(),
        blocks=_words(
            "source_file block declaration_list field_declaration_list ordered_field_declaration_list enum_variant_list"
        ),
        strings=_any("string_literal raw_string_literal"),
    ),
    "C": Shape(_C, _C_OUTER, _C_BLOCKS, _any("string_literal"), semicolon=True),
    "C++": Shape(
        query=f"""
{_C}
(class_specifier name: (_) @name body: (_) @body) @class
(type_definition type: (class_specifier body: (_) @body) declarator: (type_identifier) @name) @class
(lambda_expression) @closure
""",
        outer=_C_OUTER,
        blocks=_C_BLOCKS | {"declaration_list"},
        strings=_any("string_literal raw_string_literal"),
        semicolon=True,
    ),
    "C#": Shape(
        query="""
(comment) @comment
(method_declaration name: (_) @name body: (_) @body) @function
(constructor_declaration name: (_) @name body: (_) @body) @function
(destructor_declaration name: (_) @name body: (_) @body) @function
(operator_declaration operator: _ @name body: (_) @body) @function
(conversion_operator_declaration type: (_) @name body: (_) @body) @function
(class_declaration name: (_) @name body: (_) @body) @class
(struct_declaration name: (_) @name body: (_) @body) @class
(interface_declaration name: (_) @name body: (_) @body) @class
(enum_declaration name: (_) @name body: (_) @body) @class
(record_declaration name: (_) @name body: (_)? @body) @class
[(lambda_expression) (anonymous_method_expression) (accessor_declaration)] @closure
""",
        outer=frozenset(),
        blocks=_words("compilation_unit block declaration_list enum_member_declaration_list"),
        strings=_any("verbatim_string_literal raw_string_literal interpolated_string_expression"),
    ),
    "Ruby": Shape(
        query="""
(comment) @comment
(method name: (_) @name body: (_) @body) @function
(singleton_method name: (_) @name body: (_) @body) @function
(class name: (_) @name body: (_)? @body) @class
(module name: (_) @name body: (_)? @body) @class
[(block) (do_block) (lambda)] @closure
""",
        outer=frozenset(),
        blocks=_words("program body_statement"),
        strings=_any("string heredoc_body subshell regex delimited_symbol"),
    ),
    "PHP": Shape(
        query="""
(comment) @comment
(function_definition name: (_) @name body: (_) @body) @function
(method_declaration name: (_) @name body: (_) @body) @function
(class_declaration name: (_) @name body: (_) @body) @class
(interface_declaration name: (_) @name body: (_) @body) @class
(trait_declaration name: (_) @name body: (_) @body) @class
(enum_declaration name: (_) @name body: (_) @body) @class
[(anonymous_function) (arrow_function) (anonymous_class)] @closure
""",
        outer=frozenset(),
        blocks=_words("program compound_statement declaration_list enum_declaration_list"),
        strings=_any("string encapsed_string heredoc nowdoc shell_command_expression text_interpolation"),
    ),
    "Kotlin": Shape(
        query="""
[(line_comment) (block_comment)] @comment
(function_declaration name: (_) @name (function_body) @body) @function
(class_declaration name: (_) @name [(class_body) (enum_class_body)]? @body) @class
(object_declaration name: (_) @name (class_body)? @body) @class
[(lambda_literal) (anonymous_function) (object_literal) (anonymous_initializer) (secondary_constructor) (getter)
 (setter)] @closure
(enum_entry (class_body) @closure)
""",
        outer=frozenset(),
        blocks=_words("source_file function_body block class_body enum_class_body"),
        strings=_any("string_literal multiline_string_literal"),
    ),
    "Scala": Shape(
        query="""
[(comment) (block_comment)] @comment
(function_definition name: (_) @name body: (_) @body) @function
(class_definition name: (_) @name body: (_)? @body) @class
(object_definition name: (_) @name body: (_)? @body) @class
(trait_definition name: (_) @name body: (_)? @body) @class
(enum_definition name: (_) @name body: (_) @body) @class
(package_object name: (_) @name body: (_) @body) @class
[(lambda_expression) (val_definition) (var_definition) (instance_expression) (extension_definition)
 (given_definition)] @closure
""",
        outer=frozenset(),
        blocks=_words("compilation_unit block indented_block template_body enum_body"),
        strings=_any("string interpolated_string"),
    ),
    "Bash": Shape(
        query="""
(comment) @comment
(function_definition name: (_) @name body: (_) @body) @function
""",
        outer=frozenset(),
        blocks=_words("program compound_statement subshell"),
        strings=_any("string raw_string ansi_c_string heredoc_body heredoc_redirect"),
    ),
    "SQL": Shape(
        query="""
[(comment) (marginalia)] @comment
(create_function (object_reference) @name (function_body) @body) @function
(create_procedure (object_reference) @name (procedure_body) @body) @function
(create_table (object_reference) @name [(column_definitions) (create_query)] @body) @class
(create_view (object_reference) @name (create_query) @body) @class
(create_materialized_view (object_reference) @name (create_query) @body) @class
(create_type (object_reference) @name) @class
""",
        outer=_words("statement"),
        blocks=_words("program function_body procedure_body column_definitions"),
        strings=_any("literal"),
        semicolon=True,
    ),
}
"""By the name of the language."""
