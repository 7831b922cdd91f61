"""What runs in a cluster beside its API server: a node whose pods are containers of podman that share a network, and the end of namespaces.

A pod has a container that holds its network, as the kubelet's has. Native sidecars, init containers, Secrets, emptyDirs, restarts with back-off, HTTP probes for
readiness, images that are not there, and users that may not be root are as the documentation says:
https://kubernetes.io/docs/concepts/workloads/pods/. Names of Services are those of the pods that they select when these are made.
"""

import datetime
import json
import os
import pathlib
import shutil
import subprocess
import threading
import time
import urllib.request

NOTHING = "meshproof-nothing:1"
SYSTEM = [folder for folder in ["/usr", "/bin", "/lib", "/lib64"] if os.path.isdir(folder)]
# seconds before a container is started again; those of a kubelet are ten times as long
BACK_OFF = [0.2, 1, 2, 4]


def podman(*words):
    done = subprocess.run(["podman", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip() or done.stdout.strip())
    return done.stdout.strip()


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Wrong(Exception):
    """A container that cannot be started: reason and message."""


class Kubelet:
    def __init__(self, store, folder, prefix):
        self.store, self.folder, self.prefix = store, pathlib.Path(folder), prefix
        self.pods = {}
        self.lock = threading.Lock()

    def run(self):
        """Until it is killed: looks at what should be, and makes it so."""
        while True:
            for pod in self.store.list("pods"):
                key = pod["metadata"]["namespace"], pod["metadata"]["name"]
                if key not in self.pods:
                    self.pods[key] = Pod(self, pod)
                    threading.Thread(target=self.pods[key].run, daemon=True).start()
            for namespace in self.store.list("namespaces"):
                if "deletionTimestamp" in namespace["metadata"]:
                    self.end(namespace["metadata"]["name"])
            time.sleep(0.1)

    def name(self, *parts):
        return ".".join([self.prefix, *parts])

    def network(self, namespace):
        name = self.name(namespace)
        with self.lock:
            if subprocess.run(["podman", "network", "exists", name], check=False).returncode:
                podman("network", "create", "--label", self.prefix, name)
        return name

    def end(self, namespace):
        """https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/#namespaces-and-dns"""
        for key in [key for key in self.pods if key[0] == namespace]:
            self.pods.pop(key).stop()
        podman("network", "rm", "--force", self.name(namespace))
        self.store.drop_namespace(namespace)


class Pod:
    def __init__(self, kubelet, pod):
        self.kubelet, self.pod, self.spec = kubelet, pod, pod["spec"]
        self.namespace, self.name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        self.folder = kubelet.folder / self.namespace / self.name
        self.ends = threading.Event()
        self.containers = []
        self.address = ""
        self.lock = threading.Lock()

    def event(self, kind, reason, message):
        self.kubelet.store.event(self.pod, kind, reason, message)

    def of(self, part):
        return self.kubelet.name(self.namespace, self.name, part)

    def run(self):
        while not self.address and not self.ends.is_set():
            try:
                with self.lock:
                    self.hold()
            except RuntimeError as why:
                self.event("Warning", "FailedCreatePodSandBox", str(why))
                self.ends.wait(0.5)
        try:
            inits = [Container(self, spec, True) for spec in self.spec.get("initContainers", [])]
            usual = [Container(self, spec, False) for spec in self.spec["containers"]]
            self.containers = inits + usual
            self.tell()
            for container in inits:
                while not container.step() and not self.ends.is_set():
                    self.tell()
                    self.ends.wait(0.2)
            while not self.ends.is_set():
                for container in self.containers:
                    container.step()
                self.tell()
                self.ends.wait(0.2)
        except RuntimeError:
            # its containers are taken away while it is looked at
            if not self.ends.is_set():
                raise

    def hold(self):
        """The container that has the pod's network."""
        labels = self.pod["metadata"].get("labels", {})
        services = [
            service["metadata"]["name"]
            for service in self.kubelet.store.list("services", self.namespace)
            if service["spec"].get("selector", {}).items() <= labels.items()
        ]
        aliases = [f"--network-alias={name}" for name in services]
        mounts = [f"--volume={folder}:{folder}:ro" for folder in SYSTEM]
        network = self.kubelet.network(self.namespace)
        # of an attempt before, which failed half way
        subprocess.run(["podman", "rm", "--force", "--time", "0", self.of("holder")], capture_output=True, check=False)
        podman("run", "--detach", "--name", self.of("holder"), "--label", self.kubelet.prefix, "--hostname", self.name,
               "--network", network, *aliases, *mounts, NOTHING, "sleep", "infinity")  # fmt: skip
        said = podman("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", self.of("holder"))
        self.address = said
        self.event("Normal", "Scheduled", f"Successfully assigned {self.namespace}/{self.name} to test")

    def volume(self, name):
        """Where it is on this machine."""
        (volume,) = [volume for volume in self.spec.get("volumes", []) if volume["name"] == name]
        place = self.folder / name
        if place.exists():
            return place
        place.mkdir(parents=True)
        place.chmod(0o777)
        if secret := volume.get("secret"):
            for key, content in self.kubelet.store.secret(self.namespace, secret["secretName"]).items():
                (place / key).write_bytes(content)
                (place / key).chmod(0o644)
        elif "emptyDir" not in volume:
            raise Wrong("FailedMount", f"no such kind of volume here: {volume}")
        return place

    def tell(self):
        """Writes the status."""
        statuses = [container.status() for container in self.containers]
        split = len(self.spec.get("initContainers", []))
        is_ready = bool(statuses) and all(status["ready"] for status in statuses)
        ready = {"type": "Ready", "status": str(is_ready)}
        status = {
            "phase": "Running" if any("running" in status["state"] for status in statuses[split:]) else "Pending",
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "conditions": [{"type": "PodScheduled", "status": "True"}, ready],
            "initContainerStatuses": statuses[:split],
            "containerStatuses": statuses[split:],
        }
        self.kubelet.store.status("pods", self.namespace, self.name, status)

    def stop(self):
        self.ends.set()
        with self.lock:
            for container in [*self.containers, None]:
                name = container.id if container else self.of("holder")
                subprocess.run(["podman", "rm", "--force", "--time", "0", "--volumes", name], capture_output=True, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


class Container:
    def __init__(self, pod, spec, is_init):
        self.pod, self.spec = pod, spec
        self.id = pod.of(spec["name"])
        self.is_sidecar = is_init and spec.get("restartPolicy") == "Always"
        self.is_init = is_init and not self.is_sidecar
        self.restarts, self.failures = 0, 0
        self.state, self.last = {"waiting": {"reason": "PodInitializing"}}, {}
        self.is_started, self.is_done, self.is_ready = False, False, False
        self.again_at = 0

    def status(self):
        return {
            "name": self.spec["name"],
            "image": self.spec["image"],
            "state": self.state,
            "lastState": self.last,
            "ready": self.is_done or ("running" in self.state and self.is_ready),
            "restartCount": self.restarts,
            "started": self.is_started,
        }

    def step(self):
        """Whether what comes after it may start."""
        if self.is_done:
            return True
        if not self.is_started or "running" not in self.state:
            if time.monotonic() >= self.again_at:
                self.start()
            return self.is_started and self.is_sidecar
        found = json.loads(podman("inspect", "--format", "{{json .State}}", self.id))
        if found["Status"] in ("exited", "stopped"):
            self.exited(found["ExitCode"])
        else:
            self.is_ready = self.probe()
        return self.is_done or (self.is_sidecar and self.is_started)

    def exited(self, code):
        ended = {"exitCode": code, "reason": "Completed" if code == 0 else "Error", "finishedAt": now()}
        if self.is_init and code == 0:
            self.state, self.is_done = {"terminated": ended}, True
            return
        self.last = {"terminated": ended}
        self.state = {"waiting": {"reason": "CrashLoopBackOff", "message": f"back-off restarting failed container {self.spec['name']}"}}
        self.again_at = time.monotonic() + BACK_OFF[min(self.restarts, len(BACK_OFF) - 1)]
        self.pod.event("Warning", "BackOff", f"Back-off restarting failed container {self.spec['name']}")

    def start(self):
        try:
            if self.is_started:
                with self.pod.lock:
                    podman("start", self.id)
                self.restarts += 1
            else:
                self.create()
                self.is_started = True
            self.state = {"running": {"startedAt": now()}}
            self.is_ready = "readinessProbe" not in self.spec
            self.pod.event("Normal", "Started", f"Started container {self.spec['name']}")
        except Wrong as wrong:
            reason, message = wrong.args
            self.failures += 1
            if reason == "ErrImagePull" and self.failures > 1:
                reason = "ImagePullBackOff"
            self.state = {"waiting": {"reason": reason, "message": message}}
            self.again_at = time.monotonic() + 0.5
            self.pod.event("Warning", "Failed", message)

    def create(self):
        spec = self.spec
        context = {**self.pod.spec.get("securityContext", {}), **spec.get("securityContext", {})}
        image = spec["image"]
        if subprocess.run(["podman", "image", "exists", image], check=False).returncode:
            raise Wrong("ErrImagePull", f'Failed to pull image "{image}": no such image')
        user = str(context.get("runAsUser", "")) or podman("image", "inspect", "--format", "{{.Config.User}}", image)
        if context.get("runAsNonRoot") and user.split(":")[0] in ("", "0", "root"):
            raise Wrong("CreateContainerConfigError", "container has runAsNonRoot and image will run as root")
        words = ["run", "--detach", "--name", self.id, "--label", self.pod.kubelet.prefix]
        words += ["--network", f"container:{self.pod.of('holder')}", "--user", user]
        words += ["--read-only"] if context.get("readOnlyRootFilesystem") else []
        words += ["--cap-drop", "all"] if "ALL" in context.get("capabilities", {}).get("drop", []) else []
        words += ["--security-opt", "no-new-privileges"] if context.get("allowPrivilegeEscalation") is False else []
        for source in spec.get("envFrom", []):
            variables = self.pod.kubelet.store.secret(self.pod.namespace, source["secretRef"]["name"])
            words += [f"--env={name}={value.decode()}" for name, value in variables.items()]
        words += [f"--env={variable['name']}={variable['value']}" for variable in spec.get("env", [])]
        for mount in spec.get("volumeMounts", []):
            place = self.pod.volume(mount["name"]) / mount.get("subPath", "")
            words.append(f"--volume={place}:{mount['mountPath']}{':ro' if mount.get('readOnly') else ''}")
        if "workingDir" in spec:
            words += ["--workdir", spec["workingDir"]]
        if "command" in spec:
            words += ["--entrypoint", json.dumps(spec["command"])]
        with self.pod.lock:
            if not self.pod.ends.is_set():
                try:
                    podman(*words, image, *spec.get("args", []))
                except RuntimeError as why:
                    raise Wrong("CreateContainerError", str(why)) from why

    def probe(self):
        get = self.spec.get("readinessProbe", {}).get("httpGet")
        if not get:
            return True
        ports = {port.get("name"): port["containerPort"] for port in self.spec.get("ports", [])}
        url = f"http://{self.pod.address}:{ports.get(get['port'], get['port'])}{get['path']}"
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                return answer.status < 400
        except OSError:
            return False

    def logs(self, tail, has_times):
        words = ["podman", "logs"] + (["--timestamps"] if has_times else []) + (["--tail", tail] if tail else [])
        return subprocess.run([*words, self.id], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False).stdout
