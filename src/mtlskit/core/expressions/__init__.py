"""The part of Cloudflare's rules language that asks about a client certificate and the request it came with.

`parse` reads a text, `compile_expression` makes a function of it, `evaluate` and `explain_parts` say what it makes of
one client. What is not known counts as `Doubt` says, so that an allow does not match in doubt and a deny does (I9).
"""

from mtlskit.core.doubt import Doubt
from mtlskit.core.expressions.compiled import CompiledExpression, compile_expression
from mtlskit.core.expressions.interpreted import Seen, evaluate, explain_parts
from mtlskit.core.expressions.parsing import LONGEST_TEXT, parse
from mtlskit.core.expressions.readings import RevokedCertificates
from mtlskit.core.expressions.scanner import DEEPEST_NESTING
from mtlskit.core.expressions.tree import Expression

__all__ = [
    "DEEPEST_NESTING",
    "LONGEST_TEXT",
    "CompiledExpression",
    "Doubt",
    "Expression",
    "RevokedCertificates",
    "Seen",
    "compile_expression",
    "evaluate",
    "explain_parts",
    "parse",
]
