// Asks the agents, again and again, what they see: their links, and what they hold of the run.

const EVERY_MS = 1_000;

// So many are asked at once; more take turns.
const AT_ONCE = 12;

export class Watch {
  constructor(mesh, changed) {
    Object.assign(this, { mesh, changed, seen: new Map(), turn: 0 });
    this.timer = setInterval(() => this.look(), EVERY_MS);
    this.look();
  }

  async look() {
    if (this.looking || document.hidden) return;
    this.looking = true;
    const agents = this.mesh.agents.filter(({ way }) => way !== "none");
    for (const peer of [...this.seen.keys()]) if (!this.mesh.links.has(peer)) this.seen.delete(peer);
    const some = agents.length <= AT_ONCE ? agents : this.nextOf(agents);
    await Promise.all(some.map((link) => this.ask(link)));
    this.looking = false;
    this.changed();
  }

  nextOf(agents) {
    const some = Array.from({ length: AT_ONCE }, (_, at) => agents[(this.turn + at) % agents.length]);
    this.turn = (this.turn + AT_ONCE) % agents.length;
    return some;
  }

  async ask(link) {
    const asked = await Promise.allSettled([link.call({ Links: {} }), link.call({ Status: {} })]);
    const [links, status] = asked.map(({ value }) => value ?? null);
    const failed = asked.find(({ reason }) => reason)?.reason.message ?? null;
    const before = this.seen.get(link.peer);
    this.seen.set(link.peer, {
      at: Date.now(),
      links: links ?? before?.links ?? [],
      status: status ?? before?.status ?? null,
      failed,
    });
  }
}
