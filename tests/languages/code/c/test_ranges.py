"""Every kind's ranges, against snippets marked by hand."""

import pytest

from dni_jax.languages import ParseError, get
from dni_jax.languages.code.c._features import LOOPS, NODES
from tests.support.marks import marked, spans_of

C = get("c")

CASES = [
    # statement terminators: not the two of for (;;), but those in a block within parentheses
    ("terminator", "int a«;» void f(void) { for (i = 0; i < 3; i++) g()«;» «;» return«;» }"),
    ("terminator", "struct s { int x«;» }«;» int f(void) { return ({ int y = g()«;» y«;» })«;» }"),
    ("terminator", "void f(void) { do g()«;» while (x)«;» list_for_each(a, b) { h(';')«;» } }"),
    # function definitions
    ("FuncDef", "int a; «static int f(int x)\n{\n\treturn x;\n}» «void g(void) {}» int h(void);"),
    ("FuncDef", "int x;\n«asmlinkage __visible void __init f(void)\n{\n}»\nEXPORT_SYMBOL(f);"),
    ("FuncDef", "EXPORT_SYMBOL(x)\n«int f(void) { }»"),
    ("FuncDef", "«SYSCALL_DEFINE2(open, const char __user *, name, int, flags)\n{\n\treturn 0;\n}»"),
    ("FuncDef", "«struct s *(*f(int a))(int) { return 0; }»"),
    ("FuncDef", "«static int f(void) __must_hold(&lock) { return 1; }»"),
    # function declarations, at file level and inside
    ("function declaration", "«extern int f(int, u8 *);» int v; int f(int a) { «int g(void);» return a; }"),
    ("function declaration", "«__printf(1, 2) void f(const char *, ...);» int (*pointer)(int);"),
    # brackets
    (
        "braces",
        "struct s «{ int x; }»; int f(void) «{ if (x) «{ y = (struct s) «{ 1 }»; }» }» int a[] = «{ 1, «{ 2 }» }»;",
    ),
    ("parentheses", "int f«(void)» { return «(a + «(b)»)» * g«(«(int)» '(')»; } /* ( */"),
    ("square brackets", "int a«[3]»; int f(void) { return a«[b«[0]»]»; }"),
    # if, with its else and its bare branch
    ("If", "int f(void) { «if (a) b(); else «if (c) { d(); } else e();»» }"),
    ("If", 'int f(void) { while (x) «if (a)\n#ifdef X\n\tb();»\n#endif\n return "if (x) y;"; }'),
    # loops, C's and macros'
    ("loop", "int f(void) { «for (int i = 0; i < 3; i++) «while (x) { y(); }»» «do «do a(); while (b);» while (c);» }"),
    ("loop", "int f(void) { «list_for_each_entry(p, &head, list) { g(p); }» «for_each_cpu(c, mask) if (c) g(c);» }"),
    ("loop", "void f(void) { «for (;;);» scoped_guard(mutex, &m) { x(); } }"),
    ("macro block", "void f(void) { «scoped_guard(mutex, &m) { x(); }» guard(mutex)(&m); }"),
    # assignments: not a declaration's initial value
    ("Assignment", "int f(void) { int x = 1; «x = «y += 2»»; if ((«p = g()»)) «*p = x == 1»; a[(«i = 0»)]++; }"),
    (
        "Assignment",
        "int f(void) { for («i = 0, «j = 1»»; i < j; «i += 1») ; }".replace("«i = 0, «j = 1»»", "«i = 0», «j = 1»"),
    ),
    # calls, chained, in macros, at file level
    ("FuncCall", "int f(void) { return ««g(«h(1)»)»(2)» + p->q->«r()»; }".replace("p->q->«r()»", "«p->q->r()»")),
    ("FuncCall", "int f(void) { «WARN_ON(«g(x)» || y)»; «container_of(p, struct s, m)»->x = «va_arg(ap, int *)»; }"),
    ("FuncCall", '«MODULE_LICENSE("GPL")»; static «DEFINE_MUTEX(lock)»; «EXPORT_SYMBOL(f)»;'),
    ("Return", "int f(void) { if (x) «return;» «return\n  (a ? b : c);» }"),
    ("Switch", "int f(void) { «switch (a) { case 1: «switch (b) { default: ; }» break; case 2 ... 5: g(); }» }"),
    ("case", "int f(void) { switch (a) { «case 1:» «case 2: { b(); } break;» «default: c(); d();» } }"),
    # constants
    ("string", 'char *s = «"a\\"b"» «"c"»; int f(void) { p(KERN_INFO «"%d"» PRIu64, «L"x"», \'"\'); } // "no"'),
    ("number", "int a = «1» + «0x1fUL» - «1.5e-3f» * «.5»; int b2 = a1 + «08»; /* 3 */ char c = '4';"),
    ("character", "int a = «'x'» + «'\\''» + «L'\\n'» + «'ab'»;"),
    (
        "comment",
        '«/* one\n * two */» int a; «// three »\n char *s = "/* no */"; int «/**/» b; «// four \\\n five»\nint c;',
    ),
    ("preprocessor", "«#include <a.h>»\n«#define X(a) \\\n\t(a)»\nint f(void)\n{\n«  #ifdef Y»\n\tg();\n«#endif»\n}\n"),
    # the rest
    (
        "Cast",
        "int f(void) { return «(u8)x» + ((«(struct s *)«(long)p»»))->y + (int)(z); }".replace("(int)(z)", "«(int)(z)»"),
    ),
    (
        "TernaryOp",
        "int f(void) { return «a ? b : «c ? d : e»» + («x ?: y»); }".replace("» + (", "») + (").replace(
            "return «a", "return («a"
        ),
    ),
    ("BinaryOp", "int f(void) { return ««a + «b * c»» << 1» , (d); }"),
    ("UnaryOp", "int f(void) { return «!«*p»» + «sizeof(int)» + «i++» + «-1»; }"),
    ("ArrayRef", "int f(void) { return ««a[1]»[b]»; }"),
    ("StructRef", "int f(void) { return ««a.b»->c»; }"),
    ("Struct", "«struct s { «struct t» *x; }» y; «struct s» z;"),
    ("Union", "struct s { «union { int a; }»; };"),
    ("Enum", "«enum e { A, B = 2 }» x;"),
    ("Typedef", "«typedef struct { int x; } t;» t y;"),
    ("InitList", "int a[] = «{ [0] = 1, «{ 2 }», }»; struct s b = «{ .x = 1 }»;"),
    ("parameter", "int f(«int a», «u8 *b», ...) { return 0; }"),
    ("Goto", "int f(void) { out: «goto out;» «goto *labels[1];» }"),
    ("Label", "int f(void) { «out: g();» }"),
    ("Compound", "int f(void) «{ if (x) «{ }» }»"),
    ("Decl", "«static int x __read_mostly = 1;» int f(void) { «u32 __iomem *p = g();» for («int i = 0;»;) ; }"),
]


@pytest.mark.parametrize(("kind", "text"), CASES)
def test_ranges(kind, text):
    plain, expected = marked(text)
    trees = C.parse(plain)
    found = spans_of(trees, *NODES.get(kind, [kind]))
    assert [plain[a:b] for a, b in found] == [plain[a:b] for a, b in expected]
    assert found == expected


def test_every_kind_of_the_features_is_marked_somewhere():
    marked_kinds = {name for kind, _ in CASES for name in NODES.get(kind, [kind])}
    needed = {name for names in NODES.values() for name in names} | set(LOOPS)
    assert needed - marked_kinds <= {"identifier", "Break", "Continue", "Default"}


def test_labels_of_a_snippet():
    text = "int f(void)\n{\n\tif (x)\n\t\treturn 1;\n\treturn 0;\n}\n"
    labels = C.features().label(C.corpus([text]))
    inside = text.index("if (x)"), text.index("1;") + 2
    expected = [int(inside[0] <= place < inside[1]) for place in range(len(text))]
    assert labels["range:if"].tolist() == expected
    assert labels["impulse:if"].nonzero()[0].tolist() == [inside[0], inside[1] - 1]
    assert labels["depth=1"].sum() == text.count("(void)") * 6 + len(text) - text.index("{") - 1 - 3
    assert labels["depth=2"].sum() == len("(x)")
    assert labels.mask.all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("int f(void) { return 1 }", r"'}' \(line 1, column 24\):\nint f.*\n {23}\^\nexpected ';'"),
        ("int a;\nint f(void) { if x; }", r"'x' \(line 2, column 18\)"),
        ("int f(void) { return (1;", r"line 1, column 24"),
        ("int @a;", r"'@' \(line 1, column 5\)"),
    ],
)
def test_errors_show_the_place(text, message):
    with pytest.raises(ParseError, match=f"(?s){message}"):
        C.parse(text)


def test_a_failure_masks_its_own_declaration_only():
    good, bad = "int f(void) { return 1; }\n", "int g(void) { return (; }"
    with pytest.raises(ParseError, match="string 0: "):
        C.corpus([good + bad])
    corpus = C.corpus([good + bad + "\nint h;", good], skip_unparsable=True)
    place = len(good)
    assert not corpus.parsed[place : place + len(bad)].any()
    assert corpus.parsed.sum() == corpus.n_positions - len(bad)
    assert corpus.coverage["strings_parsed"] == 1
    labels = C.features().label(corpus)
    assert labels["range:function definition"].sum() == 2 * len(good.strip())
    assert (labels.mask == corpus.parsed).all()


def test_dead_branches_are_masked():
    text = "int a;\n#if 0\nint @;\n#endif\nint f(void)\n{\n#ifdef X\n\tg();\n#else\n\t}}\n#endif\n}\n"
    text += "#if 1\nint b;\n#elif Y\n???\n#endif\n"
    corpus = C.corpus([text])
    for dead in ["int @;\n", "\t}}\n", "???\n"]:
        place = text.index(dead)
        assert not corpus.parsed[place : place + len(dead)].any()
    assert (~corpus.parsed).sum() == sum(
        len(dead) + 1 for dead in ["int @;\n", "\t}}\n", "???\n"]
    )  # and the line break
    assert len(spans_of(corpus.trees, "FuncDef")) == 1


def test_arguments_that_are_no_c_are_masked():
    text = "int f(void) { m(return x, <=, int x, struct s *, , g(1)); }"
    corpus = C.corpus([text])
    assert [text[i] for i in (~corpus.parsed).nonzero()[0]] == list("return x")
    assert len(spans_of(corpus.trees, "FuncCall")) == 2


def test_c_is_a_language_that_cannot_be_sampled():
    corpus = C.corpus(["int a;"])
    for ask in (lambda: C.sample(3), lambda: C.log_probability(["int a;"]), lambda: C.ideal_cross_entropy(corpus)):
        with pytest.raises(ValueError, match=r"got c, which only parses.*load_c"):
            ask()
    assert C.name == "c"
    assert C.characters is None
