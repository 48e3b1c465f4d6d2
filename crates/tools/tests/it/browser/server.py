"""A server on a port of the system's choice, which it prints: files of its folder, and some answers of its own."""
import http.server, os, sys

os.chdir(os.path.dirname(os.path.abspath(__file__)))


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, body, *headers):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        html = ("Content-Type", "text/html")
        if self.path == "/other":
            self.answer(b"<title>Other</title><h1>Another page</h1>", html)
        elif self.path == "/frame":
            self.answer(b"<p>In a frame</p>", html)
        elif self.path.startswith("/report"):
            self.answer(b"a,b\n1,2\n", ("Content-Disposition", "attachment; filename=\"../../report.csv\""))
        elif self.path == "/large":
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Connection", "close")
            self.end_headers()
            for _ in range(1600):
                self.wfile.write(b"<p><a href=/x>y</a>" * 3400)
            self.close_connection = True
        else:
            super().do_GET()


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
