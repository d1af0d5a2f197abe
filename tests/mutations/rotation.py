"""The protections of a rotation: nothing leads to a retired key, and nobody gets round it in the middle."""

from mutations import Mutation

_ROTATION = "tests/authority/test_rotation.py"

MUTATIONS = [
    Mutation(
        "authority/stages.py",
        "    return change.commit(store, lambda transaction: _end_trust(transaction, record, found, requester, now))\n",
        "    return change.commit(store)\n",
        _ROTATION,
        "I1: what certified a retired key is revoked with it",
    ),
    Mutation(
        "authority/generations.py",
        "        if generation.above:\n",
        "        if False:\n",
        _ROTATION,
        "I1: the authority above too vouches for a retired key no more",
    ),
    Mutation(
        "authority/generations.py",
        " if {public_key_id(each).hex(), self._issuer_of(each)} <= trusted)",
        ")",
        _ROTATION,
        "I1: no cross-certificate of a retired key is given out",
    ),
    Mutation(
        "authority/rotation.py",
        "signer=None, authorize=opened.authorize)",
        "signer=None)",
        _ROTATION,
        "the hook is asked for an intermediate's next key",
    ),
    Mutation(
        "authority/rotation.py",
        "            withdraw(plan, made[0].certificate, above.issuing())\n",
        "            pass\n",
        _ROTATION,
        "a certificate that came too late is revoked",
    ),
    Mutation(
        "authority/rotation.py",
        "above.issuing(), above.chain)",
        "above.issuing(), record.active.above)",
        _ROTATION,
        "a rotated child presents the parent that certified it",
    ),
    Mutation(
        "authority/stages.py",
        "    if number not in (None, new.number):\n",
        "    if False:\n",
        _ROTATION,
        "activated is what was given out to be trusted",
    ),
    Mutation(
        "authority/stages.py",
        "(*_issued(snapshot, generation), *scan_reservations(snapshot, generation.key_id))",
        "(*_issued(snapshot, generation),)",
        _ROTATION,
        "what is being signed keeps its generation",
    ),
    Mutation(
        "authority/drafting.py",
        "    if order.renews is not None and order.renews.key_id not in issuing.trusted_keys:\n",
        "    if False:\n",
        _ROTATION,
        "what is retired meanwhile is not renewed",
    ),
    Mutation(
        "authority/issuance.py",
        "    for issuer, key in issuing.certified:\n",
        "    for issuer, key in ():\n",
        _ROTATION,
        "an authority that is revoked issues no more",
    ),
]
