"""The protections of calls: bodies, connections, proxies, and what is said of a refusal."""

from __future__ import annotations

from mutations import Mutation

_STREAMS = "tests/fetch/test_streams.py"
_HTTP2 = "tests/fetch/test_http2.py"
_ASKED = "tests/fetch/test_what_servers_ask.py"
_EXCHANGE = "tests/fetch/test_exchange.py"
_GOAWAY = "tests/fetch/test_goaway.py"
_LEFTOVERS = "tests/fetch/test_leftovers.py"
_CANCELLING = "tests/fetch/test_cancelling.py"
_HOSTILE = "tests/fetch/test_hostile_answers.py"
_MOUNTS = "tests/clients/test_mounts.py"
_WEAKENING = "tests/clients/test_weakening.py"

MUTATIONS = [
    Mutation(
        "fetch/engine/connections.py", "        finally:\n            self._turn.release()\n", "        finally:\n            pass\n",
        f"{_HTTP2} -k each_connection_again", "a connection serves again after its answer",
    ),
    Mutation(
        "fetch/engine/known.py", "        return self._is_ending() or bool(self._http2.get_extra_info(\"is_readable\"))", "        return self._is_ending()",
        f"{_HTTP2} -k ended_meanwhile", "an idle connection of HTTP/2 that the origin ended is not used",
    ),
    Mutation(
        "fetch/engine/known.py", "            self.hearing.request = None  # what", "            pass  # what",
        f"{_ASKED} -k what_a_proxy_asks", "what a proxy asks for is not the origin's request",
    ),
    Mutation(
        "fetch/engine/networks.py", "            return raw if isinstance(raw, TLSSocket) else None\n", "            return None\n",
        f"{_HTTP2} -k spoken", "the engine sees which HTTP is spoken over pyOpenSSL too",
    ),
    Mutation(
        "fetch/engine/pools.py", "            passage.fail(error)\n        try:\n            return Opened", "            raise\n        try:\n            return Opened",
        "tests/fetch/test_fetch_over_tls.py -k refused_certificate", "what the engine raises becomes ours",
    ),
    Mutation(
        "fetch/engine/pools.py", "        if isinstance(body, StreamedBody) and error is body.failure:\n            return error\n", "",
        f"{_STREAMS} -k comes_out_as_it_is", "what a body raises is not taken for the connection's",
    ),
    Mutation(
        "fetch/engine/pools.py", "not isinstance(error.args[0], h11.ProtocolError)", "False", f"{_HTTP2} -k garbage",
        "wrong frames of a server are not told as the caller's",
    ),
    Mutation(
        "fetch/engine/pools.py", "        self._is_answered = True\n", "", f"{_STREAMS} -k breaks_within",
        "what breaks within an answer is no failed handshake",
    ),
    Mutation(
        "fetch/engine/pools.py", "if isinstance(error, httpcore2.RemoteProtocolError) and _is_own_finding(error):",
        "if isinstance(error, httpcore2.RemoteProtocolError):", f"{_HTTP2} -k answer_that_is_none",
        "a stream that is reset is no refusal of the certificate",
    ),
    Mutation(
        "fetch/bodies.py", "        if self._is_begun:  # the", "        if False:  # the", f"{_HTTP2} -k second_time",
        "a stream is not sent again on another connection",
    ),
    Mutation(
        "fetch/exchange.py", "if route is Route.PLAIN and self.redirect is Redirect.BOUND:", "if False:", f"{_EXCHANGE} -k i14",
        "I14: a redirect away from the binding's origins is an error where it is asked to be",
    ),
    Mutation(
        "fetch/exchange.py", "        if isinstance(request.body, StreamedBody):\n", "        if False:\n", f"{_EXCHANGE} -k second_time",
        "a stream is not sent again to follow a redirect",
    ),
    Mutation(
        "fetch/engine/pools.py", "    if opened._is_begun:\n", "    if False:\n", f"{_STREAMS} -k read_once",
        "a body is read once",
    ),
    Mutation(
        "fetch/engine/pools.py", "            if left < 0:\n                return\n\n    def close", "            if False:\n                return\n\n    def close",
        f"{_STREAMS} -k endless", "the body of a redirect is not read for ever",
    ),
    Mutation(
        "fetch/lanes.py", "                opened.close()\n        finally:", "                pass\n        finally:", f"{_STREAMS} -k unread_ends",
        "an answer that is not read to its end gives its connection back",
    ),
    Mutation(
        "fetch/lanes.py", "                await opened.close()\n        finally:", "                pass\n        finally:",
        "tests/fetch/test_fetch_over_tls.py -k side_by_side", "an answer that was read gives its connection back, for tasks too",
    ),
    Mutation(
        "fetch/lanes.py", "                proxy_context=connector.proxy_context() if is_tls else None,",
        "                proxy_context=connector.context(self.chain) if is_tls else None,", f"{_ASKED} -k i14",
        "I14: a proxy that asks for a certificate gets none",
    ),
    Mutation(
        "fetch/binding.py", "        if isinstance(request.body, StreamedBody) and request.body.needs_loop:\n", "        if False:\n",
        f"{_STREAMS} -k needs_an_event_loop", "a body that needs an event loop is told before anything is sent",
    ),
    Mutation(
        "backends/pyopenssl_object.py", "self._fault = _fault_of(error) or self._fault", "self._fault = _fault_of(error)",
        f"{_HTTP2} -k all_who_wait", "all who wait for a connection that is refused are told why",
    ),
    Mutation(
        "fetch/engine/known.py", "        if not is_whole and (self._http2 is not None or", "        if False and (self._http2 is not None or",
        f"{_HTTP2} -k rest_of_an_answer", "what is left of an answer does not count for those after it",
    ),
    Mutation(
        "fetch/engine/goaway.py", "        is_goaway = kind == _GOAWAY and", "        is_goaway = False and", f"{_GOAWAY} -k rest_asked_elsewhere",
        "an answer that comes after a GOAWAY is not lost",
    ),
    Mutation(
        "fetch/engine/goaway.py", "if stream > last)", "if False)", f"{_GOAWAY} -k sent_elsewhere",
        "what a server did not take is told, and asked elsewhere",
    ),
    Mutation(
        "fetch/engine/goaway.py", "                self._held = data[at:]\n                break\n", "                break\n",
        f"{_GOAWAY} -k split", "frames may come in any pieces",
    ),
    Mutation(
        "fetch/engine/goaway.py", "and not stream and length >= 8", "", f"{_GOAWAY} -k for_the_parser",
        "a GOAWAY that is none is left to the parser",
    ),
    Mutation(
        "fetch/engine/goaway.py", " and bool(flags & _END_HEADERS)", "", f"{_GOAWAY} -k last_octet",
        "headers that go on in other frames are read to their end",
    ),
    Mutation(
        "fetch/engine/goaway.py", "        return bool(self.refused) and not self._open", "        return False",
        f"{_GOAWAY} -k stream_is_asked_elsewhere", "who waits for leave to send to a stream that was refused does not wait for ever",
    ),
    Mutation(
        "fetch/engine/known.py", "        if self.inner.has_expired():\n            return True\n        if self._http2 is None or not self.inner.is_idle():\n            return False\n        return self._is_ending() or",
        "        if self.inner.has_expired():\n            return True\n        if self._http2 is None or not self.inner.is_idle():\n            return False\n        return",
        f"{_GOAWAY} -k closed_when_it_is_idle", "a connection that takes no more is closed",
    ),
    Mutation(
        "fetch/engine/known.py", "        return not self._is_ending() and bool(", "        return bool(", f"{_GOAWAY} -k closed_when_it_is_idle",
        "a connection that takes no more gets nothing more",
    ),
    Mutation(
        "fetch/engine/known.py", "        sending.refusals += not", "        sending.refusals += 0 * ", f"{_GOAWAY} -k for_ever",
        "what is refused for ever fails",
    ),
    Mutation(
        "fetch/engine/known.py", "            self.stage = Stage.REUSED  # it spoke", "            pass  # it spoke", f"{_GOAWAY} -k never_answered",
        "the end of a connection after a GOAWAY is no refusal of the certificate",
    ),
    Mutation(
        "fetch/engine/known.py", "        if self._is_begun:\n            raise", "        if False:\n            raise",
        f"{_CANCELLING} -k not_made_again", "a connection that the pool has forgotten is not made again",
    ),
    Mutation(
        "fetch/engine/known.py", "        return self._has_leftovers is not None and self._has_leftovers()", "        return False",
        f"{_LEFTOVERS} -k behind_it", "an answer that nobody asked for is not given to the next call",
    ),
    Mutation(
        "fetch/engine/leftovers.py", "        yield lambda: parser.trailing_data[0]\n", "        yield from ()\n", f"{_LEFTOVERS} -k one_piece",
        "what came with an answer is looked for in the parser",
    ),
    Mutation(
        "fetch/engine/leftovers.py", "        yield _reading(tls, buffers[0] if buffers else None)\n", "        yield from ()\n",
        f"{_LEFTOVERS} -k behind_it", "what came behind an answer is looked for in TLS",
    ),
    Mutation(
        "fetch/engine/leftovers.py", "        yield tls.pending\n", "        yield from ()\n", f"{_LEFTOVERS} -k behind_it",
        "what came behind an answer is looked for in pyOpenSSL",
    ),
    Mutation(
        "fetch/engine/leftovers.py", "        except ssl.SSLWantReadError:\n            return False", "        except ssl.SSLWantReadError:\n            return True",
        f"{_LEFTOVERS} -k tickets", "a session ticket closes no connection",
    ),
    Mutation(
        "fetch/engine/leftovers.py", "            yield queue.__len__\n", "            yield lambda: 0\n", f"{_LEFTOVERS} -k other_place",
        "what came behind an answer is looked for in the async engine's queue",
    ),
    Mutation(
        "fetch/engine/networks.py", "        except BaseException:\n            with anyio", "        except Exception:\n            with anyio",
        f"{_CANCELLING} -k handshake", "a task that is cancelled in its handshake closes its socket",
    ),
    Mutation(
        "fetch/engine/networks.py", "            raw.suppress_ragged_eofs = False\n", "            pass\n",
        f"{_HOSTILE} -k ends_with_its_connection", "a body that is cut is not taken for whole",
    ),
    Mutation(
        "fetch/engine/networks.py", "        stream.tell_cut(True)\n", "", f"{_HOSTILE} -k ends_with_its_connection",
        "a body that is cut is not taken for whole, in tasks",
    ),
    Mutation(
        "fetch/engine/decoding.py", "        if self._is_begun and not self._inner.eof:\n", "        if False:\n",
        f"{_HOSTILE} -k not_whole", "a compressed body that is cut is not taken for whole",
    ),
    Mutation(
        "fetch/engine/decoding.py", "self._inner.decompress(part, _MOST)", "self._inner.decompress(part)", f"{_HOSTILE} -k very_much",
        "a little that stands for very much comes in parts",
    ),
    Mutation(
        "fetch/engine/heads.py", "        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):\n", "        if False:\n",
        f"{_HTTP2} -k head_that_is_none", "lines are not brought in by a header of HTTP/2",
    ),
    Mutation(
        "fetch/engine/heads.py", "    if not 100 <= response.status <= 599:\n", "    if False:\n", f"{_HTTP2} -k head_that_is_none",
        "a status is one",
    ),
    Mutation(
        "fetch/failures.py", "certificate is not None and is_asked and _is_refusal", "certificate is not None and _is_refusal",
        f"{_HOSTILE} -k never_asked", "a server that never asked has refused no certificate",
    ),
    Mutation(
        "fetch/lanes.py", "            self._leave(place)\n            is_over = not place.calls\n",
        "            self._leave(place)\n            is_over = True\n", "tests/fetch/test_closing.py", "a call that runs outlives the closing of its environment",
    ),
    Mutation(
        "fetch/environment.py", "            engine()  # now", "            pass  # now", "tests/fetch/test_closing.py -k fork",
        "the engine is there before anybody can fork",
    ),
    Mutation(
        "fetch/sources.py", "            with self._lock:  # one", "            if True:  # one", "tests/fetch/test_sources.py -k one_reads",
        "of many who ask after a change one reads",
    ),
    Mutation(
        "fetch/sources.py", "        else:\n            self._seen = change\n", "        else:\n            self._seen = self._change\n",
        "tests/fetch/test_sources.py -k slow_reader", "I14: a slow reader does not put back what another has replaced",
    ),
    Mutation(
        "fetch/responses.py", "        with suppress(LookupError, ValueError):  # no charset", "        if True:  # no charset",
        f"{_HOSTILE} -k charset", "a charset that is none is not raised",
    ),
    Mutation(
        "core/given.py", "    if isinstance(given, str) and not _ONE_LINE.fullmatch(given):", "    if False:", "tests/fetch/test_mistakes.py -k as_far_as",
        "I11: what could hold a key is not shown",
    ),
    Mutation(
        "core/certificate_requests.py", "        with suppress(Exception):  # whatever", "        if True:  # whatever",
        "tests/core/test_certificate_requests.py", "a name that cryptography cannot read is passed over",
    ),
    Mutation(
        "fetch/bodies.py", "            octets = octets[: int(self._left)]\n", "", "tests/fetch/test_mistakes.py -k grows",
        "a file that grows is sent as long as it was",
    ),
    Mutation(
        "core/certificate_requests.py", "    if len(data) < end:\n", "    if False:\n", "tests/core/test_certificate_requests.py",
        "a shorter message than it says is not read past its end",
    ),
    Mutation(
        "fetch/contexts.py", "        if not name:\n", "        if False:\n", _WEAKENING,
        "I14: a context for others connects to nobody without a name",
    ),
    Mutation(
        "fetch/contexts.py", "if self._admits is not None and not self._admits(name):", "if False:", _WEAKENING,
        "I14: a context for others connects to the binding's origins only",
    ),
    Mutation(
        "fetch/contexts.py", "        if not hasattr(self, name) or getattr(self, name) != value:\n", "        if False:\n", _WEAKENING,
        "the verification of a context for others is not switched off",
    ),
    Mutation(
        "fetch/clients/routes.py", "return self._usable().sealed if self.covers(host, port) else self.plain",
        "return self._usable().sealed", f"{_MOUNTS} -k wildcard", "I14: another origin gets no certificate through a mount",
    ),
    Mutation(
        "fetch/clients/routes.py", "        if scheme not in _SCHEMES:\n", "        if False:\n", "tests/clients",
        "through a mount only https is spoken",
    ),
    Mutation(
        "fetch/clients/routes.py", "        if not certified.begin <= self._now() <= certified.end:\n", "        if False:\n", _MOUNTS,
        "a certificate that has ended is told before a byte is sent, through a mount too",
    ),
    Mutation(
        "fetch/clients/routes.py", "        if certified.chain is not self._current():\n", "        if False:\n", _MOUNTS,
        "I14: the next request of a mount goes out with the new certificate",
    ),
    Mutation(
        "fetch/clients/aiohttp.py", 'return getattr(req, "_bound", self._routes.plain)', "return req.ssl", "tests/clients",
        "I14: aiohttp shows a proxy no certificate",
    ),
    Mutation(
        "fetch/clients/requests.py", "        if not verify or cert:\n", "        if False:\n", _WEAKENING,
        "a request of requests does not switch verification off",
    ),
    Mutation(
        "fetch/clients/urllib3.py", '        request_context["ssl_context"] = context\n', "", "tests/clients",
        "I14: urllib3 uses the binding's context",
    ),
    Mutation(
        "fetch/clients/transports.py", "        if not self.is_retired:\n            return True\n", "        return True\n", "tests/clients",
        "a transport that was retired meanwhile takes no request",
    ),
]  # fmt: skip
