"""What the library says of itself, as MyST: every public class and function with its signature, its errors, the paper's
sections it follows and the pages that speak of it; and links from names in prose back to it.

In: the library's modules and the notebooks. Out: text for tools/build_docs.py. Names and sections of the paper are
MyST targets, so that Sphinx warns of every link that leads nowhere.
"""

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from fourier_workbench.cli import argument_comments

from notebooks import code_cells
from project import LIBRARY, NOTEBOOKS, ROOT, notebooks

SECTIONS = {  # of the paper, and what each is about, in our words
    "3": "Representation",
    "3.1": "The lattice as a matrix logarithm",
    "3.2": "Species densities and their Fourier coefficients",
    "4": "Model",
    "4.1": "The autoencoder and its latent ladder",
    "4.2": "Diffusion on the ladder",
    "5": "Training",
    "5.1": "Losses of the autoencoder",
    "5.2": "Loss of the diffuser, normalisation and noise levels",
    "6": "Experiments",
    "6.1": "Data: LeMat-Bulk, filters, splits",
    "A": "Data and preparation",
    "A.2": "Snapping to a rational grid",
    "A.3": "Recovery of atoms from coefficients",
    "B": "Crystals in reciprocal space",
    "B.1": "The lattice, derived",
    "B.2": "Truncation of the wave vectors",
    "B.3": "Symmetry operations on coefficients",
    "C": "Tokens",
    "C.2": "Species slots, sorted and cyclic",
    "D": "The complex transformer",
    "D.1": "Complex linear maps and RMS normalisation",
    "D.2": "Gated units",
    "D.3": "Attention and rotary phases",
    "E": "The ladder",
    "E.1": "Mask and noise of a channel",
    "E.2": "The price of signal",
    "E.3": "Pruning to a budget of channels",
    "F": "Losses in detail",
    "G": "The three stages of recovery",
    "H": "Diffusion in detail",
    "H.4": "Conditioning on the noise level",
}
SECTION = r"(?:App\. ?)?(?:[3-6](?:\.\d)?|[A-H](?:\.\d)?)(?![\w.]*\w)"
CITATION = re.compile(rf"\b(?:[Pp]aper,? \(?(?=App|[3-6A-H])|(?=App\. ?[A-H])){SECTION}(?:(?:, | and |–){SECTION})*")
SECTIONS_PAGE, NAMES_PAGE = "paper/sections", "api/names"
SUMMARY = 4  # pages that speak of a name, at most


def plain(text: str) -> str:
    "Text in which Markdown finds nothing but its backticked names."
    parts = re.split(r"(``.+?``|`[^`\n]+`)", text)
    return "".join(part if i % 2 else re.sub(r"([\\*_\[\]<>|$#~{}^])", r"\\\1", part) for i, part in enumerate(parts))


def section_target(section: str) -> str:
    "Target of a section of the paper on the page of sections."
    return "paper-" + section.lower().replace(".", "-")


def cited(text: str) -> list[str]:
    "Sections of the paper that a text cites, in order."
    found = [match for citation in CITATION.finditer(text) for match in re.findall(SECTION, citation[0])]
    return list(dict.fromkeys(re.sub(r"App\. ?", "", section) for section in found))


def link_sections(text: str) -> str:
    "Citations of the paper in Markdown, each section a link."

    def section(found: re.Match[str]) -> str:
        number = re.sub(r"App\. ?", "", found[0])
        return f"[{found[0]}](#{section_target(number)})" if number in SECTIONS else found[0]

    return CITATION.sub(lambda found: re.sub(SECTION, section, found[0]), text)


@dataclass(frozen=True)
class Symbol:
    "A public function, class, method or property: where it is defined and the page it is documented on."

    name: str  # `encode`, or `Generator.sample`
    module: str
    page: str  # of the site, without ending
    node: ast.FunctionDef | ast.ClassDef = field(compare=False, repr=False)
    source: str = field(compare=False, repr=False)

    @property
    def doc(self) -> str:
        return ast.get_docstring(self.node) or ""

    @property
    def line(self) -> str:
        "First sentence of the docstring."
        return re.split(r"(?<=[^.][.;])\s|\n\n", self.doc, maxsplit=1)[0].replace("\n", " ").rstrip(";")

    @property
    def target(self) -> str:
        "Name of its place; targets know no capitals, so that `Gallery` must differ from `gallery`."
        capitals = "-class" if self.name[0].isupper() and self.name.lower() in symbols()[self.module] else ""
        return f"api-{self.module.removeprefix(LIBRARY.name + '.')}-{self.name}{capitals}".lower()


def public_nodes(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    "Functions and classes of a module that are not private."
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node


DEFAULT = re.compile(r"(?m)^#\|\s*default_exp:?\s+([\w.]+)")
EXPORT = re.compile(r"(?m)^#\|\s*export[is]?:?(?:[ \t]+(?:true|([\w.]+)))?[ \t]*$")  # nbdev's processors write `#| export: true`


def exported_modules(sources: list[str]) -> list[str | None]:
    "Module that each of a notebook's code cells exports to; None for cells that export nothing."
    default = next((found[1] for source in sources if (found := DEFAULT.search(source))), None)
    modules = [(found[1] or default) if (found := EXPORT.search(source)) else None for source in sources]
    return [module and f"{LIBRARY.name}.{module}" for module in modules]


def page_of(notebook: Path) -> str:
    "Place of a notebook's page in the site, without ending."
    return notebook.relative_to(NOTEBOOKS).with_suffix("").as_posix()


@cache
def pages() -> dict[str, str]:
    "Page of each module: that of the notebook which exports it."
    found = {}
    for path in notebooks("api"):
        found |= {module: page_of(path) for module in exported_modules(code_cells(path)) if module}
    return found


def source_of(module: str) -> str:
    "Text of a module of the library."
    return (ROOT / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8")


@cache
def rooms() -> dict[str, tuple[str, ...]]:
    "Public names of each package, in its own order."
    names = [".".join(path.parent.relative_to(ROOT).parts) for path in sorted(LIBRARY.rglob("__init__.py"))]
    return {name: tuple(getattr(importlib.import_module(name), "__all__", ())) for name in names}


@cache
def classes() -> dict[tuple[str, str], tuple[ast.ClassDef, str]]:
    "All classes of the library, private ones too, with the text of their module."
    texts = {module: source_of(module) for module in pages()}
    return {
        (module, node.name): (node, text)
        for module, text in texts.items()
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef)
    }


def lineage(module: str, name: str) -> Iterator[tuple[ast.ClassDef, str]]:
    "A class and the private bases whose members it shows as its own."
    for base in getattr(importlib.import_module(module), name).__mro__:
        known = classes().get((base.__module__, base.__name__))
        if known is not None and (base.__name__ == name or base.__name__.startswith("_")):
            yield known


@cache
def symbols() -> dict[str, dict[str, Symbol]]:
    "Public symbols of each module by name; methods as `Class.method`, those of private bases too."
    found: dict[str, dict[str, Symbol]] = {}
    for module, page in pages().items():
        here = found[module] = {}
        text = source_of(module)
        for node in public_nodes(ast.parse(text)):
            here[node.name] = Symbol(node.name, module, page, node, text)
            for owner, source in lineage(module, node.name) if isinstance(node, ast.ClassDef) else ():
                for method in owner.body:
                    if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                        name = f"{node.name}.{method.name}"
                        here.setdefault(name, Symbol(name, module, page, method, source))
    return found


@cache
def by_name() -> dict[str, Symbol]:
    """What a name in prose means: full names, names within their room, bare names.

    A bare name that several modules define means the one that a room offers, and nothing when no room or several do.
    """
    meant: dict[str, Symbol] = {}
    bare: dict[str, list[Symbol]] = {}
    offered = {id(getattr(importlib.import_module(room), name)) for room, names in rooms().items() for name in names}
    for module, here in symbols().items():
        room = module.rpartition(".")[0]
        for name, symbol in here.items():
            top = name.split(".")[0]
            meant[f"{module}.{name}"] = symbol
            if top in rooms().get(room, ()):
                meant[f"{room}.{name}"] = meant[f"{room.rpartition('.')[2]}.{name}"] = symbol
            meant.setdefault(f"{module.rpartition('.')[2]}.{name}", symbol)
            bare.setdefault(name, []).append(symbol)
    for name, several in bare.items():
        top = name.split(".")[0]
        public = [s for s in several if id(getattr(importlib.import_module(s.module), top)) in offered]
        chosen = public or several
        if len(chosen) == 1:
            meant[name] = chosen[0]
    return meant


def link_names(text: str, *modules: str) -> str:
    "Markdown whose backticked names of the library are links; names of `modules` come first. Fences and links stay."
    own = {name: symbol for module in reversed(modules) for name, symbol in symbols().get(module, {}).items()}

    def name(found: re.Match[str]) -> str:
        said = found[1]
        bare = re.split(r"[(\[]", said)[0].removeprefix(f"{LIBRARY.name}.")
        symbol = own.get(bare) or by_name().get(bare) or by_name().get(f"{LIBRARY.name}.{bare}")
        return f"[`{said}`](#{symbol.target})" if symbol else found[0]

    lines, fenced = [], False
    for line in text.split("\n"):
        fenced ^= line.lstrip().startswith("```")
        linkable = not fenced and not line.startswith(("    ", "#")) and "```" not in line
        lines.append(re.sub(r"(?<![\[`\w])`([^`\n]+)`(?![`\]])", name, line) if linkable else line)
    return "\n".join(lines)


def _arguments(node: ast.FunctionDef, method: bool, source: str) -> list[str]:
    "Parameters as written, one string each, bars and stars included, with the comment that documents them behind."
    a, comments = node.args, argument_comments(node, source)
    plain_ones = [*a.posonlyargs, *a.args]
    defaults: list[ast.expr | None] = [None] * (len(plain_ones) - len(a.defaults)) + list(a.defaults)
    parts = []

    def one(arg: ast.arg, default: ast.expr | None, star: str = "") -> str:
        text = star + arg.arg
        if arg.annotation is not None:
            text += f": {ast.unparse(arg.annotation)}"
        if default is not None:
            text += f" = {ast.unparse(default)}" if arg.annotation is not None else f"={ast.unparse(default)}"
        return f"{text},  # {comments[arg.arg]}" if arg.arg in comments else text

    for i, (arg, default) in enumerate(zip(plain_ones, defaults, strict=True)):
        if not (method and i == 0):
            parts.append(one(arg, default))
        if a.posonlyargs and i + 1 == len(a.posonlyargs):
            parts.append("/")
    if a.vararg:
        parts.append(one(a.vararg, None, "*"))
    elif a.kwonlyargs:
        parts.append("*")
    parts += [one(arg, default) for arg, default in zip(a.kwonlyargs, a.kw_defaults, strict=True)]
    if a.kwarg:
        parts.append(one(a.kwarg, None, "**"))
    return parts


def _fields(node: ast.ClassDef, source: str) -> list[str]:
    "Fields of a dataclass or named tuple, each with the comment that stands behind it."
    lines = source.splitlines()
    found = []
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and not each.target.id.startswith("_"):
            rest = lines[(each.end_lineno or 1) - 1].encode()[each.end_col_offset or 0 :].decode().strip()
            found.append(ast.unparse(each) + (f"  {rest}" if rest.startswith("#") else ""))
    return found


def _call(head: str, parts: list[str], returns: str = "", width: int = 96) -> str:
    line = f"{head}({', '.join(parts)}){returns}"
    if len(line) <= width and "#" not in line:
        return line
    return "\n".join([f"{head}(", *(f"    {part}" if ",  #" in part else f"    {part}," for part in parts), f"){returns}"])


def signature(symbol: Symbol) -> str:
    "How it is written in Python: parameters with types, shapes and defaults; a class with its fields."
    node = symbol.node
    if isinstance(node, ast.FunctionDef):
        decorators = {ast.unparse(each) for each in node.decorator_list}
        returns = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
        if "property" in decorators or "cached_property" in decorators:
            return f"{symbol.name}: {returns.removeprefix(' -> ')}".rstrip(": ")
        method = "." in symbol.name and "staticmethod" not in decorators
        return _call(symbol.name, _arguments(node, method, symbol.source), returns)
    bases = [ast.unparse(base) for base in node.bases]
    shown = [base for base in bases if not base.startswith("_")]
    head = f"class {symbol.name}" + (f"({', '.join(shown)})" if shown else "")
    for owner, source in lineage(symbol.module, symbol.name):
        starts = [each for each in owner.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
        if starts:
            return f"{head}\n{_call(symbol.name, _arguments(starts[0], True, source))}"
        if fields := _fields(owner, source):
            return head + "".join(f"\n    {line}" for line in fields)
    return head


def _prose(doc: str) -> str:
    "A docstring as Markdown: paragraphs, and `Args:` as a list."
    head, _, rest = doc.partition("\nArgs:\n")
    text = plain(head.strip())
    if rest:
        items = re.findall(r"(?m)^    (\w+): ((?:.*)(?:\n {8,}.*)*)", rest)
        text += "\n\n" + "\n".join(f"- `{name}`: {plain(' '.join(words.split()))}" for name, words in items)
    return text


def raised(symbol: Symbol) -> list[str]:
    "Errors of the package that the code of a symbol raises itself."
    found = {
        node.exc.func.id
        for node in ast.walk(symbol.node)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name)
    }
    return sorted(name for name in found if name in symbols().get(f"{LIBRARY.name}.errors", {}) or name in by_name())


def _facts(symbol: Symbol, mentions: dict[str, list[tuple[str, str]]], up: str) -> str:
    "Below a docstring: errors, sections of the paper, pages that use the name."
    facts = []
    if errors := raised(symbol):
        facts.append("Raises " + ", ".join(f"`{name}`" for name in errors))
    sections = cited(symbol.doc)
    if sections:
        linked = (f"[{s}](#{section_target(s)})" for s in sections if s in SECTIONS)
        facts.append("Paper: " + ", ".join(linked))
    used = mentions.get(f"{symbol.module}.{symbol.name}", [])[:SUMMARY]
    if used:
        facts.append("Seen in " + ", ".join(f"[{title}]({up}{page}.ipynb)" for page, title in used))
    return "{.api-facts}\n" + " · ".join(facts) if facts else ""


def documentation(symbol: Symbol, mentions: dict[str, list[tuple[str, str]]], up: str, level: int = 3) -> str:
    "One symbol, and the methods and properties of a class, as MyST."
    parts = [f"({symbol.target})=", f"{'#' * level} `{symbol.name}`", f"```python\n{signature(symbol)}\n```",
             _prose(symbol.doc), _facts(symbol, mentions, up)]
    text = "\n\n".join(part for part in parts if part)
    if isinstance(symbol.node, ast.ClassDef):
        prefix = symbol.name + "."
        for name, method in symbols()[symbol.module].items():
            if name.startswith(prefix):
                text += "\n\n" + documentation(method, mentions, up, level + 1)
    return text


def mentions(texts: dict[str, tuple[str, str, str]]) -> dict[str, list[tuple[str, str]]]:
    """Pages that speak of each symbol, by full name: (page, title).

    `texts`: title, prose and code by page. Prose means what stands in backticks, code the names it imports and calls.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for page, (title, prose, code) in texts.items():
        said = {re.split(r"[(\[]", name)[0] for name in re.findall(r"`([^`\n]+)`", prose)}
        imported = re.findall(rf"from {LIBRARY.name}[\w.]* import \(?([^)\n]+|[^)]+(?=\)))", code)
        said |= {name.strip() for names in imported for name in names.split(",")}
        called = set(re.findall(r"\.(\w+)\(", code))
        methods = {name for name in by_name() if "." in name and name.count(".") == 1 and name.split(".")[1] in called}
        for name in sorted(said | {m for m in methods if m.split(".")[0] in said}):
            symbol = by_name().get(name)
            entry = (page, title)
            if symbol is not None and entry not in found.setdefault(f"{symbol.module}.{symbol.name}", []):
                found[f"{symbol.module}.{symbol.name}"].append(entry)
    return found


def sections_page(pages_citing: dict[str, list[tuple[str, str]]], up: str) -> str:
    "The paper's sections, each with the names that implement it and the pages that explain it."
    parts = [
        "# The paper, section by section",
        "> Where each section of arXiv 2602.12045 is implemented and explained.",
        "Sections are named in our own words. The lists are made from the citations in docstrings and pages; every name links "
        "to its documentation, which links back here.",
    ]
    for number, about in SECTIONS.items():
        names = [s for here in symbols().values() for s in here.values() if number in cited(s.doc)]
        entries = [f"- [`{s.name}`](#{s.target}): {plain(s.line)}" for s in names]
        explained = ", ".join(f"[{title}]({up}{page}.ipynb)" for page, title in pages_citing.get(number, []))
        lead = f"Read: {explained}" if explained else ""
        heading = f"{'###' if '.' in number else '##'} {'App. ' if number[0].isalpha() else ''}{number} · {about}"
        text = [f"({section_target(number)})=", heading, lead, "\n".join(entries)]
        parts.append("\n\n".join(part for part in text if part))
    return "\n\n".join(parts) + "\n"


def names_page(up: str) -> str:
    "All public names: those that rooms offer first, then the rest, module by module."
    parts = ["# All names", "> What the package offers, room by room, and what its modules hold beside."]
    offered: set[str] = set()

    def table(entries: list[tuple[str, Symbol]]) -> str:
        rows = "\n".join(f"| [`{said}`](#{s.target}) | {plain(s.line)} |" for said, s in entries)
        return "| name | what it is |\n|---|---|\n" + rows

    for room, names in rooms().items():
        known = [(name, by_name()[f"{room}.{name}"] if f"{room}.{name}" in by_name() else by_name().get(name)) for name in names]
        entries = [(name, symbol) for name, symbol in known if symbol is not None]
        offered |= {f"{s.module}.{s.name}" for _, s in entries}
        if entries:
            parts += [f"## `{room}`", table(entries)]
    for module, here in symbols().items():
        rest = [(n, s) for n, s in here.items() if "." not in n and f"{module}.{n}" not in offered]
        if rest:
            parts += [f"## `{module}`", f"[The notebook]({up}{pages()[module]}.ipynb)", table(rest)]
    return "\n\n".join(parts) + "\n"
