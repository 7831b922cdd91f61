// The socket to the process that served this page: what the page cannot do, or may not because it asks nobody else.

const AGAIN_FIRST_MS = 250;
const AGAIN_LONGEST_MS = 4_000;

// Above it nothing more is said until the socket has sent some.
const MOST_UNSENT_BYTES = 8 * 1024 * 1024;

export class Process {
  // `hello` gives the first word of each socket; `on` hears up(), down(why), refused(why) and word(what, value).
  constructor(hello, on) {
    Object.assign(this, { hello, on, socket: null, failures: 0, closed: false });
    this.open();
  }

  open() {
    const socket = new WebSocket(new URL("socket", location.href.replace(/^http/, "ws").split("#")[0]));
    this.socket = socket;
    socket.onopen = () => this.say({ hello: this.hello() });
    socket.onmessage = ({ data }) => {
      const word = JSON.parse(data);
      const [what, value] = Object.entries(word)[0];
      if (what === "welcome") this.failures = 0;
      if (what === "refused") {
        this.closed = true;
        this.on.refused(value);
        return;
      }
      this.on.word(what, value);
    };
    socket.onclose = () => {
      if (this.closed || this.socket !== socket) return;
      this.on.down();
      const wait = Math.min(AGAIN_FIRST_MS * 2 ** this.failures, AGAIN_LONGEST_MS);
      this.failures += 1;
      setTimeout(() => this.open(), wait);
    };
  }

  // False when nobody hears it.
  say(word) {
    const { socket } = this;
    if (socket?.readyState !== WebSocket.OPEN || socket.bufferedAmount > MOST_UNSENT_BYTES) return false;
    socket.send(JSON.stringify(word));
    return true;
  }

  signaling(message) {
    return this.say({ signaling: JSON.stringify(message) });
  }

  frame(peer, frame) {
    return this.say({ frame: { peer, frame } });
  }

  standIn(wanted) {
    return this.say({ "stand-in": wanted ? "wanted" : "not-needed" });
  }

  news(news) {
    return this.say({ news });
  }

  line(line) {
    return this.say({ line });
  }
}
