#!/usr/bin/env python3
"""An API server of Kubernetes as far as kubectl needs it for runs, and a node behind it. For tests: the real kubectl speaks to it.

usage: apiserver.py FOLDER PREFIX

It writes FOLDER/config, a kubeconfig, says `ready`, and goes on until its standard input ends; then all containers with the label PREFIX go. What is created is held
against the schemas of the API (kubernetes-validate, which .ci/setup brings), as `fieldValidation=Strict` has it; pods against what their namespace enforces, and the
quota of pods. What it leaves out: rights, defaults, everything that nobody asks for here.
"""

import base64
import copy
import http.server
import json
import pathlib
import re
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid

import kubelet
import portforward

ROOT = pathlib.Path(__file__).resolve().parents[4]
SCHEMAS = ROOT / "target/tools/kubernetes_validate/kubernetes-json-schema/v1.33.0-local-strict/_definitions.json"
# of each version of the API: kind, plural, whether it is in a namespace
RESOURCES = {
    "v1": [
        ("Namespace", "namespaces", False), ("Pod", "pods", True), ("Secret", "secrets", True), ("Service", "services", True),
        ("ServiceAccount", "serviceaccounts", True), ("ResourceQuota", "resourcequotas", True), ("LimitRange", "limitranges", True),
        ("Event", "events", True), ("ConfigMap", "configmaps", True),
    ],
    "networking.k8s.io/v1": [("NetworkPolicy", "networkpolicies", True)],
}  # fmt: skip
KINDS = {plural: (version, kind) for version, all in RESOURCES.items() for kind, plural, _ in all}


class Refused(Exception):
    """https://kubernetes.io/docs/reference/using-api/api-concepts/#api-failure"""

    def __init__(self, code, reason, message):
        super().__init__(message)
        self.status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code}


def schemas():
    try:
        from jsonschema import Draft202012Validator
    except ImportError:
        return None
    if not SCHEMAS.exists():
        return None
    definitions = json.loads(SCHEMAS.read_text().replace("/api/_definitions.json#", "#"))["$defs"]
    found = {}
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", []):
            version = f"{kind['group']}/{kind['version']}" if kind["group"] else kind["version"]
            found[version, kind["kind"]] = Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": definitions})
    return found


class Store:
    def __init__(self):
        self.lock = threading.RLock()
        self.objects, self.version, self.schemas = {}, 100, schemas()
        # what was deleted, and at which version: a watch that begins at an earlier one is told of it
        self.gone = []

    def put(self, plural, object):
        with self.lock:
            self.version += 1
            object["metadata"]["resourceVersion"] = str(self.version)
            self.objects[plural, object["metadata"].get("namespace", ""), object["metadata"]["name"]] = object
            return copy.deepcopy(object)

    def get(self, plural, namespace, name):
        with self.lock:
            if found := self.objects.get((plural, namespace, name)):
                return copy.deepcopy(found)
        raise Refused(404, "NotFound", f'{plural} "{name}" not found')

    def known_at(self, version, plural, namespace=""):
        """What whoever has a list of that version knows, as far as it is there or has gone since."""
        with self.lock:
            there = [object for key, object in self.objects.items() if key[0] == plural and namespace in ("", key[1])]
            there = [object for object in there if int(object["metadata"]["resourceVersion"]) <= version]
            gone = [object for at, of, home, object in self.gone if of == plural and namespace in ("", home) and at > version]
            return copy.deepcopy(gone + there)

    def list(self, plural, namespace="", selector="", field=""):
        with self.lock:
            found = [copy.deepcopy(object) for key, object in sorted(self.objects.items()) if key[0] == plural and namespace in ("", key[1])]
        return self.fitting(found, selector, field)

    @staticmethod
    def fitting(found, selector="", field=""):
        name = field.removeprefix("metadata.name=")
        terms = [term.partition("=")[::2] for term in selector.split(",") if term]
        labels = [object["metadata"].get("labels", {}) for object in found]
        fits = lambda labels: all(key in labels and value in ("", labels[key]) for key, value in terms)
        return [object for object, labels in zip(found, labels) if fits(labels) and name in ("", object["metadata"]["name"])]

    def create(self, plural, namespace, object):
        version, kind = KINDS[plural]
        metadata = object.setdefault("metadata", {})
        with self.lock:
            self.admit(plural, namespace, object)
            if (plural, namespace, metadata["name"]) in self.objects:
                raise Refused(409, "AlreadyExists", f'{plural} "{metadata["name"]}" already exists')
            metadata.update(uid=str(uuid.uuid4()), creationTimestamp=kubelet.now())
            if plural == "namespaces":
                object["status"] = {"phase": "Active"}
            if plural == "pods":
                object["status"] = {"phase": "Pending"}
            return self.put(plural, {**object, "apiVersion": version, "kind": kind})

    def admit(self, plural, namespace, object):
        version, kind = KINDS[plural]
        if self.schemas:
            errors = sorted(self.schemas[version, kind].iter_errors(object), key=lambda error: list(map(str, error.path)))
            if errors:
                error = errors[0]
                where = ".".join(map(str, error.path))
                raise Refused(400, "BadRequest", f'{kind} in version "{version}" cannot be handled: {where}: {error.message[:200]}')
        if not namespace:
            return
        home = self.get("namespaces", "", namespace)
        if "deletionTimestamp" in home["metadata"]:
            raise Refused(403, "Forbidden", f"namespace {namespace} is being terminated")
        if plural == "pods":
            if home["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") == "restricted":
                self.restricted(object)
            account = object["spec"].get("serviceAccountName", "default")
            if ("serviceaccounts", namespace, account) not in self.objects:
                raise Refused(403, "Forbidden", f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found')
            there = len(self.list("pods", namespace)) + 1
            for quota in self.list("resourcequotas", namespace):
                if there > int(quota["spec"]["hard"].get("pods", there)):
                    raise Refused(403, "Forbidden", f"exceeded quota: {quota['metadata']['name']}, requested: pods=1")

    @staticmethod
    def restricted(pod):
        """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
        spec = pod["spec"]
        wrong = []
        for container in spec["containers"] + spec.get("initContainers", []):
            context = {**spec.get("securityContext", {}), **container.get("securityContext", {})}
            if context.get("allowPrivilegeEscalation") is not False:
                wrong.append(f"allowPrivilegeEscalation != false (container {container['name']})")
            if context.get("capabilities", {}).get("drop") != ["ALL"]:
                wrong.append(f"unrestricted capabilities (container {container['name']})")
            if not context.get("runAsNonRoot"):
                wrong.append(f"runAsNonRoot != true (container {container['name']})")
            if context.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
                wrong.append(f"seccompProfile (container {container['name']})")
        kinds = {"name", "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
        wrong += [f"restricted volume types ({volume['name']})" for volume in spec.get("volumes", []) if set(volume) - kinds]
        wrong += [key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
        if wrong:
            name = pod["metadata"]["name"]
            raise Refused(403, "Forbidden", f'pods "{name}" is forbidden: violates PodSecurity "restricted:latest": {", ".join(wrong)}')

    def merge(self, plural, namespace, name, patch):
        """https://www.rfc-editor.org/rfc/rfc7386"""

        def merged(into, patch):
            for key, value in patch.items():
                if value is None:
                    into.pop(key, None)
                elif isinstance(value, dict):
                    merged(into.setdefault(key, {}), value)
                else:
                    into[key] = value

        with self.lock:
            object = self.get(plural, namespace, name)
            merged(object, patch)
            return self.put(plural, object)

    def delete(self, plural, namespace, name):
        object = self.get(plural, namespace, name)
        object["metadata"].setdefault("deletionTimestamp", kubelet.now())
        if plural == "namespaces":
            object["status"] = {"phase": "Terminating"}
        return self.put(plural, object)

    def drop_namespace(self, name):
        with self.lock:
            for key in [key for key in self.objects if key[1] == name or key == ("namespaces", "", name)]:
                self.version += 1
                self.gone.append((self.version, key[0], key[1], self.objects.pop(key)))

    def status(self, plural, namespace, name, status):
        with self.lock:
            object = self.objects.get((plural, namespace, name))
            if object and object.get("status") != status:
                object["status"] = status
                self.put(plural, object)

    def secret(self, namespace, name):
        try:
            data = self.get("secrets", namespace, name).get("data", {})
        except Refused as refused:
            raise kubelet.Wrong("CreateContainerConfigError", str(refused)) from refused
        return {key: base64.b64decode(value) for key, value in data.items()}

    def event(self, pod, kind, reason, message):
        metadata = pod["metadata"]
        of = {"kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}
        name = f"{metadata['name']}.{uuid.uuid4().hex[:8]}"
        with self.lock:
            if ("namespaces", "", metadata["namespace"]) in self.objects:
                self.put("events", {
                    "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": metadata["namespace"]}, "involvedObject": of,
                    "type": kind, "reason": reason, "message": message, "firstTimestamp": kubelet.now(), "lastTimestamp": kubelet.now(), "count": 1,
                })  # fmt: skip


def discovery(path):
    """https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api"""
    if path == "/version":
        return {"major": "1", "minor": "33", "gitVersion": "v1.33.0", "platform": "linux/amd64"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    if path == "/apis":
        versions = [version for version in RESOURCES if "/" in version]
        of = lambda version: {"groupVersion": version, "version": version.split("/")[1]}
        groups = [{"name": version.split("/")[0], "versions": [of(version)], "preferredVersion": of(version)} for version in versions]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    verbs = ["create", "delete", "get", "list", "patch"]
    for version, resources in RESOURCES.items():
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if path == root:
            all = [{"name": plural, "singularName": kind.lower(), "namespaced": spaced, "kind": kind, "verbs": verbs} for kind, plural, spaced in resources]
            return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": all}
        if path == f"/openapi/v3{root}":
            # what kubectl looks for: that the server checks fields itself
            group, _, number = version.rpartition("/")
            gvk = lambda kind: {"group": group, "version": number, "kind": kind}
            parameters = [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}]
            patch = lambda kind: {"patch": {"parameters": parameters, "responses": {}, "x-kubernetes-group-version-kind": gvk(kind)}}
            paths = {f"{root}/{plural}/{{name}}": patch(kind) for kind, plural, _ in resources}
            return {"openapi": "3.0.0", "info": {"title": "test", "version": "1"}, "paths": paths}
    if path == "/openapi/v3":
        roots = [f"apis/{version}" if "/" in version else f"api/{version}" for version in RESOURCES]
        return {"paths": {root: {"serverRelativeURL": f"/openapi/v3/{root}"} for root in roots}}
    return None


PATH = re.compile(r"/(?:api/v1|apis/[^/]+/v1)(?:/namespaces/(?P<namespace>[^/]+)(?=/[a-z]))?/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+)(?:/(?P<sub>[a-z]+))?)?")


class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store = node = None

    def log_message(self, *_):
        pass

    def answer(self, code, body, kind="application/json"):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_one(self, method):
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        try:
            if method == "GET" and (found := discovery(url.path)) is not None:
                return self.answer(200, found)
            asked = PATH.fullmatch(url.path)
            if not asked or asked["plural"] not in KINDS:
                raise Refused(404, "NotFound", "the server could not find the requested resource")
            namespace, plural, name = asked["namespace"] or "", asked["plural"], asked["name"]
            if asked["sub"] == "portforward":
                return self.forward(namespace, name)
            if query.get("watch") == "true":
                return self.watch(plural, namespace, query)
            if asked["sub"] == "log":
                return self.answer(200, self.log(namespace, name, query), "text/plain")
            return self.answer(*self.done(method, (plural, namespace, name), query, body))
        except Refused as refused:
            return self.answer(refused.status["code"], refused.status)

    def done(self, method, which, query, body):
        plural, namespace, name = which
        if method == "GET" and not name:
            version, kind = KINDS[plural]
            items = self.store.list(plural, namespace, query.get("labelSelector", ""), query.get("fieldSelector", ""))
            return 200, {"kind": f"{kind}List", "apiVersion": version, "metadata": {"resourceVersion": str(self.store.version)}, "items": items}
        if method == "GET":
            return 200, self.store.get(*which)
        if method == "POST":
            return 201, self.store.create(plural, namespace, body)
        if method == "PATCH":
            return 200, self.store.merge(*which, body)
        if method == "DELETE":
            return 200, self.store.delete(*which)
        raise Refused(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")

    def watch(self, plural, namespace, query):
        """https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes"""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.close_connection = True
        # what it was told of already, in a list
        wanted = query.get("labelSelector", ""), query.get("fieldSelector", "")
        version = int(query.get("resourceVersion") or 0)
        known = self.store.fitting(self.store.known_at(version, plural, namespace), *wanted) if version else []
        known = {object["metadata"]["name"]: object for object in known}
        try:
            while True:
                found = self.store.list(plural, namespace, *wanted)
                found = {object["metadata"]["name"]: object for object in found}
                told = [("DELETED", known[name]) for name in known.keys() - found.keys()]
                told += [("MODIFIED" if name in known else "ADDED", found[name]) for name in found if found[name] != known.get(name)]
                for kind, object in told:
                    self.wfile.write(json.dumps({"type": kind, "object": object}).encode() + b"\n")
                known = found
                time.sleep(0.1)
        except OSError:
            pass

    def pod(self, namespace, name):
        self.store.get("pods", namespace, name)
        return self.node.pods.get((namespace, name))

    def log(self, namespace, name, query):
        pod = self.pod(namespace, name)
        found = [container for container in (pod.containers if pod else []) if container.spec["name"] == query.get("container")]
        if not found or not found[0].is_started:
            raise Refused(400, "BadRequest", f'container "{query.get("container")}" in pod "{name}" is waiting to start')
        return found[0].logs(query.get("tailLines"), query.get("timestamps") == "true")

    def forward(self, namespace, name):
        pod = self.pod(namespace, name)
        if self.headers.get("Upgrade", "").lower() != "spdy/3.1":
            # kubectl then tries the way that servers before 1.31 have
            raise Refused(400, "BadRequest", "unable to upgrade: only SPDY/3.1 is spoken here")
        self.send_response(101)
        for header in [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1"), ("X-Stream-Protocol-Version", "portforward.k8s.io")]:
            self.send_header(*header)
        self.end_headers()
        self.close_connection = True
        portforward.Session(self.rfile, self.connection, pod.address).serve()

    def do_GET(self):
        self.handle_one("GET")

    def do_POST(self):
        self.handle_one("POST")

    def do_PATCH(self):
        self.handle_one("PATCH")

    def do_DELETE(self):
        self.handle_one("DELETE")


def nothing():
    """The image with nothing in it, as meshproof makes it."""
    if subprocess.run(["podman", "image", "exists", kubelet.NOTHING], check=False).returncode:
        subprocess.run(["podman", "import", "-", kubelet.NOTHING], input=bytes(1024), check=True, capture_output=True)


def clear(prefix):
    for words in [["ps", "--all"], ["network", "ls"]]:
        found = subprocess.run(["podman", *words, "--quiet", "--filter", f"label={prefix}"], capture_output=True, text=True, check=False).stdout.split()
        # those that hold others go last
        remove = ["network", "rm", "--force"] if words[0] == "network" else ["rm", "--force", "--time", "0", "--volumes", "--depend"]
        if found:
            subprocess.run(["podman", *remove, *found], capture_output=True, check=False)


def main():
    folder, prefix = pathlib.Path(sys.argv[1]), sys.argv[2]
    nothing()
    Server.store = Store()
    Server.node = kubelet.Kubelet(Server.store, folder / "pods", prefix)
    threading.Thread(target=Server.node.run, daemon=True).start()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (folder / "config").write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{server.server_address[1]}"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}], "users": [{"name": "test", "user": {}}],
    }))  # fmt: skip
    print("schemas" if Server.store.schemas else "no schemas", "ready", flush=True)
    sys.stdin.read()
    for pod in list(Server.node.pods.values()):
        pod.ends.set()
    clear(prefix)


if __name__ == "__main__":
    main()
