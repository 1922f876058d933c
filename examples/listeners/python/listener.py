"""Receives security event tokens: verifies each one, drops repeats by `jti`, answers as RFC 8935 has it.

    pip install -r requirements.txt
    JWKS_URL=… ISSUER=… AUDIENCE=… PORT=9000 python listener.py

AUDIENCE is the URL of this endpoint as the subscription has it, or several, separated by spaces.
"""

import collections
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt

ISSUER = os.environ["ISSUER"]
AUDIENCES = os.environ["AUDIENCE"].split()
PORT = int(os.environ.get("PORT", "9000"))
BODY_MAX_BYTES = 262_144
KEPT_IDS = 100_000
ALGORITHMS = ["RS256", "EdDSA"]

# Keeps the keys for five minutes, and asks again for an unknown key, once in 30 seconds.
# The URL is from the configuration, never from a token's `jku`.
keys = jwt.PyJWKClient(os.environ["JWKS_URL"], timeout=5)


class Refusal(Exception):
    """The token is not acceptable (RFC 8935, section 2.4)."""

    def __init__(self, code, description, status=400):
        super().__init__(description)
        self.code, self.description, self.status = code, description, status


class Later(Exception):
    """Whether the token is acceptable is unknown: it must come again."""


def verify(token):
    """Returns the claims. Raises Refusal, or Later if the keys cannot be fetched."""
    try:
        header = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError as error:
        raise Refusal("invalid_request", str(error)) from error
    # PyJWT does not check the type: without this line, any other token of the same keys would pass.
    if str(header.get("typ")).lower() != "secevent+jwt":
        raise Refusal("invalid_request", "the type must be secevent+jwt")
    if header.get("alg") not in ALGORITHMS:
        raise Refusal("invalid_request", "the algorithm must be RS256 or EdDSA")
    try:
        keys.get_signing_keys()  # fetches them if needed
        key = keys.get_signing_key(header.get("kid"))
    except jwt.PyJWKClientConnectionError as error:
        raise Later(str(error)) from error
    except (jwt.PyJWTError, ValueError) as error:
        if keys.jwk_set_cache.get() is None:
            raise Later(str(error)) from error
        raise Refusal("invalid_key", str(error)) from error
    # PyJWT goes by the algorithm of the key. A token that names another one is not ours.
    if header.get("alg") != key.algorithm_name:
        raise Refusal("invalid_key", "the key is for another algorithm")
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=ALGORITHMS,
            issuer=ISSUER,
            audience=AUDIENCES,
            leeway=60,
            # Clocks differ, so a time of issue that is ahead of ours says nothing.
            options={"require": ["iss", "aud", "jti", "iat", "events"], "verify_iat": False},
        )
    except jwt.InvalidSignatureError as error:
        raise Refusal("invalid_key", str(error)) from error
    except jwt.InvalidIssuerError as error:
        raise Refusal("invalid_issuer", str(error)) from error
    except jwt.InvalidAudienceError as error:
        raise Refusal("invalid_audience", str(error)) from error
    except jwt.MissingRequiredClaimError as error:
        codes = {"iss": "invalid_issuer", "aud": "invalid_audience"}
        raise Refusal(codes.get(error.claim, "invalid_request"), str(error)) from error
    except jwt.InvalidTokenError as error:
        raise Refusal("invalid_request", str(error)) from error
    if not claims["jti"] or not isinstance(claims["events"], dict):
        raise Refusal("invalid_request", '"jti" must not be empty and "events" must be an object')
    return claims


class Once:
    """Does the work once for each id. In production: a table with a unique index, which outlives a restart."""

    def __init__(self):
        self._lock = threading.Lock()
        self._taken = collections.OrderedDict()
        self._taking = set()

    def do(self, jti, work):
        with self._lock:
            if jti in self._taken:
                return
            if jti in self._taking:
                raise Later("a copy of the event is being taken")
            self._taking.add(jti)
        try:
            work()
            with self._lock:  # only now: if the work fails, the event must come again
                self._taken[jti] = None
                if len(self._taken) > KEPT_IDS:
                    self._taken.popitem(last=False)
        finally:
            with self._lock:
                self._taking.discard(jti)


once = Once()


def take(claims):
    """Your work: store the event, or put it on a queue. Keep it short: the service waits 10 s for the answer."""
    print(f"verified {claims['jti']}", flush=True)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30  # s, for a connection that says nothing

    def do_POST(self):
        try:
            claims = verify(self._read())
            once.do(claims["jti"], lambda: take(claims))
            self._answer(202)
        except Refusal as refusal:
            self._answer(refusal.status, {"err": refusal.code, "description": refusal.description})
        except Later as error:
            self.log_error("%s", error)
            self._answer(503)
        except Exception as error:  # the work failed: the service sends the event again
            self.log_error("%s", error)
            self._answer(500)

    def _read(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > BODY_MAX_BYTES:
            self.close_connection = True  # the body is not read
            raise Refusal("invalid_request", f"the body must have a length, of at most {BODY_MAX_BYTES} bytes", 413)
        body = self.rfile.read(int(length))
        if self.headers.get_content_type() != "application/secevent+jwt":
            raise Refusal("invalid_request", "the media type must be application/secevent+jwt", 415)
        return body

    def _answer(self, status, error=None):
        body = b"" if error is None else json.dumps(error).encode()
        self.send_response(status)
        if error is not None:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Language", "en")
        if status == 503:
            self.send_header("Retry-After", "10")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
