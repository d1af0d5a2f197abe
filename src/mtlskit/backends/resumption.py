"""What a resumed session no longer tells: the certificates that its client presented above the leaf.

After a resumption OpenSSL knows the leaf only, so a client whose CA is an intermediate could not be judged again
and would be refused. The chain of its full handshake is remembered here by the leaf, per context, so it is
forgotten with it, and never leaves the hostname. It is evidence, not a verdict.
"""

from __future__ import annotations

from collections import OrderedDict

from mtlskit.core.certificates import PresentedChain

MOST_CHAINS = 1024
_LARGEST_CHAIN = 16 * 1024


class ChainMemory:
    """A bounded table from leaf to presented chain. Single operations are atomic under the interpreter's lock."""

    __slots__ = ("_chains", "_most")

    def __init__(self, most: int = MOST_CHAINS) -> None:
        self._most = most
        self._chains: OrderedDict[bytes, PresentedChain] = OrderedDict()

    def recall(self, chain: PresentedChain, *, resumed: bool) -> PresentedChain:
        """The chain to judge: after a full handshake `chain` itself (kept for later), else the one kept."""
        if resumed:
            return self._chains.get(chain.leaf_der, chain)
        if len(chain.ders) > 1 and sum(map(len, chain.ders)) <= _LARGEST_CHAIN:
            self._chains[chain.leaf_der] = chain
            if len(self._chains) > self._most:
                self._chains.popitem(last=False)
        return chain
