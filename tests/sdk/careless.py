"""A server that looks at nothing: every action is approved, every capability granted, every report taken. What
passes against it proves nothing."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4


class _Careless(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status = 200 if self.command == "GET" else 201
        body = json.dumps({
            "id": str(uuid4()), "status": "granted" if self.path.endswith("/register") else "approved",
            "enforcementMode": "strict", "requests": [], "error": "", "code": "", "authenticated": True,
        }).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer

    def log_message(self, *_):
        pass


class CarelessServer:
    def __enter__(self):
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Careless)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
