# SPDX-License-Identifier: Apache-2.0
"""A hub on this machine: the API, files that git keeps, and large ones behind a redirect to another host, as
huggingface.co has them. What a test wants to go wrong it puts into `faults`."""
import hashlib
import json
import re
import socket
import ssl
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

CERTIFICATE = Path(__file__).with_name("localhost.pem")  # with its key, which is no secret; of "localhost"


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class File:
    """Large ones (LFS) are named by SHA-256 and lie on the other host. Any of what is told of them may be a lie."""

    def __init__(self, data, large=None):
        self.data = data
        self.large = len(data) > 1000 if large is None else large
        self.hash = hashlib.sha256(data).hexdigest() if self.large else git_sha1(data)
        self.size = len(data)


class Repo:
    def __init__(self, files, commit="1" * 40):
        self.revisions = {"main": commit}
        self.commits = {commit: files}

    @property
    def files(self):
        return self.commits[self.revisions["main"]]

    def update(self, files, commit):
        self.revisions["main"] = commit
        self.commits[commit] = files

    def listing(self, revision):
        commit = self.revisions.get(revision, revision)
        siblings = []
        for path, f in self.commits[commit].items():
            entry = {"rfilename": path, "size": f.size, "blobId": git_sha1(b"pointer") if f.large else f.hash}
            if f.large:
                entry["lfs"] = {"sha256": f.hash, "size": f.size, "pointerSize": 134}
            siblings.append(entry)
        return {"_id": "6", "id": "org/model", "sha": commit, "private": False, "siblings": siblings}


class Request:
    def __init__(self, handler):
        self.server = handler.server.name  # "hub" or "cdn"
        self.method = handler.command
        self.target = handler.path
        self.path = urlsplit(handler.path).path
        self.headers = {k.lower(): v for k, v in handler.headers.items()}

    def __repr__(self):
        return f"{self.server} {self.method} {self.path}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def send(self, status, body=b"", **headers):
        headers = {"Content-Length": str(len(body))} | {k.replace("_", "-"): str(v) for k, v in headers.items()}
        self.send_response(status)
        for name, value in headers.items():
            if value != "None":
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def reset(self):
        """The connection ends as if a cable had been cut."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def do_GET(self):
        hub = self.server.hub
        request = Request(self)
        with hub.lock:
            hub.requests.append(request)
            hub.active += 1
            hub.most_active = max(hub.most_active, hub.active)
            fault = hub.take_fault(request)
        try:
            if fault is None or fault(self) is False:
                self.answer(request)
        except (BrokenPipeError, ConnectionResetError, ValueError):  # ValueError: written to after reset()
            self.close_connection = True
        finally:
            with hub.lock:
                hub.active -= 1

    do_HEAD = do_GET

    def answer(self, request):
        hub = self.server.hub
        if self.server.name == "cdn":
            return self.send_content(hub.large[request.path.split("/")[-1]])
        if request.path.startswith("/login/"):
            return self.send(404)
        parts = [unquote(part) for part in request.path.strip("/").split("/")]
        if parts[0] == "api" and parts[1] == "models":
            return self.send_api("/".join(parts[2:4]), parts[4:])
        if parts[:2] == ["api", "resolve-cache"]:
            f = hub.repos["/".join(parts[3:5])].commits[parts[5]]["/".join(parts[6:])]
            return self.send_content(f, ETag=f'"{f.hash}"', X_Repo_Commit=parts[5])
        return self.send_resolved("/".join(parts[:2]), parts[3], "/".join(parts[4:]))

    def find(self, name, revision):
        """The repository and the commit, or None after the hub's own answer."""
        hub = self.server.hub
        if name not in hub.repos:
            self.send(401 if "authorization" not in Request(self).headers else 404, b"{}", X_Error_Code="RepoNotFound")
            return None, None
        repo = hub.repos[name]
        commit = repo.revisions.get(revision, revision)
        if commit not in repo.commits:
            self.send(404, b"{}", X_Error_Code="RevisionNotFound")
            return None, None
        return repo, commit

    def send_api(self, name, rest):
        revision = rest[1] if len(rest) > 1 else "main"
        repo, commit = self.find(name, revision)
        if not repo:
            return
        if rest and rest[0] == "tree":
            reply = [{"type": "file", "path": e["rfilename"], "size": e["size"], "oid": e["blobId"]}
                     | ({"lfs": {"oid": e["lfs"]["sha256"], "size": e["size"], "pointerSize": 134}} if "lfs" in e else {})
                     for e in repo.listing(commit)["siblings"]]
        else:
            reply = repo.listing(commit)
        self.send(200, json.dumps(reply).encode(), Content_Type="application/json")

    def send_resolved(self, name, revision, path):
        repo, commit = self.find(name, revision)
        if not repo:
            return
        f = repo.commits[commit].get(path)
        if f is None:
            return self.send(404, b"Entry not found", X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        if f.large:
            return self.send(302, b"Found", Location=f"{self.server.hub.cdn_url}/xet/{f.hash}?X-Signature=abc",
                             X_Repo_Commit=commit, X_Linked_Size=f.size, X_Linked_ETag=f'"{f.hash}"')
        return self.send(307, b"", Location=f"/api/resolve-cache/models/{name}/{commit}/{path}", X_Repo_Commit=commit,
                         X_Linked_Size=f.size, X_Linked_ETag=f'"{f.hash}"')

    def send_content(self, f, **headers):
        m = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not m:
            return self.send(200, f.data, Accept_Ranges="bytes", **headers)
        first = int(m[1])
        if first >= len(f.data):
            return self.send(416, b"", Content_Range=f"bytes */{len(f.data)}")
        return self.send(206, f.data[first:], Content_Range=f"bytes {first}-{len(f.data) - 1}/{len(f.data)}", **headers)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass


class Hub:
    """url is the endpoint; the large files are at cdn_url, another host."""

    def __init__(self):
        self.repos, self.requests, self.faults = {}, [], []
        self.lock = threading.Lock()
        self.active = self.most_active = 0
        self.stalled, self.go_on = threading.Event(), threading.Event()
        self.servers = [Server(("127.0.0.1", 0), Handler) for _ in range(2)]
        for server, name in zip(self.servers, ("hub", "cdn")):
            server.hub, server.name = self, name
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.servers[0].server_port}"
        self.cdn_url = f"http://localhost:{self.servers[1].server_port}"

    def speak_tls(self):
        """The hub, but not the other host, from now on; its name is then localhost."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        self.servers[0].socket = context.wrap_socket(self.servers[0].socket, server_side=True)
        self.url = f"https://localhost:{self.servers[0].server_port}"

    def close(self):
        self.go_on.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()

    @property
    def large(self):
        return {f.hash: f for repo in self.repos.values() for files in repo.commits.values() for f in files.values()}

    def add(self, files, name="org/model"):
        """files: path → bytes or File. Returns the repository."""
        files = {path: f if isinstance(f, File) else File(f) for path, f in files.items()}
        self.repos[name] = Repo(files)
        return self.repos[name]

    def fault(self, pattern, *faults):
        """The next requests whose "server METHOD path" has the pattern are answered by these, functions of the handler, or by a
        status; after the last all is well again. False from one: the usual answer after all."""
        for fault in faults:
            self.faults.append((pattern, fault if callable(fault) else lambda h, status=fault: h.send(status, b"no")))

    def take_fault(self, request):
        for i, (pattern, fault) in enumerate(self.faults):
            if re.search(pattern, repr(request)):
                del self.faults[i]
                return fault
        return None

    def count(self, pattern):
        return sum(bool(re.search(pattern, repr(r))) for r in self.requests)

    def asked(self, pattern):
        return [r for r in self.requests if re.search(pattern, repr(r))]


# ---- faults ----

def always(fault):
    return [fault] * 100


def cut_after(n, data):
    """The right head, n bytes of the content from where it was asked for, then the connection is gone."""
    def fault(h):
        m = re.fullmatch(r"bytes=(\d+)-", h.headers.get("Range", ""))
        first = int(m[1]) if m else 0
        h.send_response(206 if m else 200)
        if m:
            h.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        h.send_header("Content-Length", str(len(data) - first))
        h.end_headers()
        h.wfile.write(data[first:first + n])
        h.reset()
    return fault


def stall_after(n, data, seconds=20):
    """The same, but nothing more comes, and the connection stays."""
    def fault(h):
        h.send_response(200)
        h.send_header("Content-Length", str(len(data)))
        h.end_headers()
        h.wfile.write(data[:n])
        h.wfile.flush()
        h.server.hub.stalled.set()
        h.server.hub.go_on.wait(seconds)
        h.reset()
    return fault


def send(status, body=b"", **headers):
    return lambda h: h.send(status, body, **headers)


def chunked(pieces):
    """A body of which nobody has said how long it is; pieces may never end."""
    def fault(h):
        h.send_response(200)
        h.send_header("Transfer-Encoding", "chunked")
        h.end_headers()
        for piece in pieces:
            h.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        h.wfile.write(b"0\r\n\r\n")
    return fault
