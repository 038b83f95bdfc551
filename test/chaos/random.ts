/**
 * Seeded randomness, and garbage made of it: bytes, texts, replies, and what was whole before.
 */

/** A generator whose numbers follow from its seed (mulberry32). */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** In [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }

  /** An integer in [0, below). */
  below(below: number): number {
    return Math.floor(this.next() * below)
  }

  chance(share: number): boolean {
    return this.next() < share
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T
  }

  /** A length, mostly small, now and then up to `most`. */
  length(most: number): number {
    return Math.floor(most ** this.next())
  }

  /** Bytes as a Latin-1 string. */
  bytes(length: number): string {
    let text = ''
    for (let i = 0; i < length; i++) text += String.fromCharCode(this.below(256))
    return text
  }

  /** A text with some of its bytes changed, cut out, doubled or put elsewhere. */
  mutate(text: string): string {
    let changed = text
    for (let left = 1 + this.below(4); left > 0; left--) {
      const at = this.below(changed.length + 1)
      const end = at + this.length(40)
      const piece = changed.slice(at, end)
      changed =
        changed.slice(0, at) +
        this.pick([
          () => this.bytes(this.length(8)),
          () => '',
          () => piece + piece,
          () => piece.toUpperCase(),
          () => piece.replaceAll('\r\n', '\n'),
          () =>
            this.pick(['\r\n', '\n', '\0', ' ', '\t', ':', ',', '"', '{', '[', '&a', '*a', '\u0085', '\u00ff']) + piece,
          () => String(this.pick([0, -1, 1e9, 2 ** 53, '1e400', '0x10', '1_000'])),
        ])() +
        changed.slice(end)
    }
    return changed
  }

  /** Any JSON value. */
  json(depth = 4): unknown {
    if (depth === 0 || this.chance(0.4)) {
      return this.pick([
        null,
        true,
        this.below(1000),
        -1,
        1e308,
        0.1,
        '',
        this.bytes(this.length(200)),
        '__proto__',
        'x'.repeat(this.length(20_000)),
      ])
    }
    if (this.chance(0.5)) return Array.from({ length: this.length(30) }, () => this.json(depth - 1))
    const map: Record<string, unknown> = {}
    for (let left = this.length(10); left > 0; left--) map[this.bytes(this.length(12))] = this.json(depth - 1)
    return map
  }

  /** Any reply in RESP, well-formed or not. */
  resp(depth = 3): string {
    const simple = [
      () => '+OK\r\n',
      () => '$-1\r\n',
      () => '*-1\r\n',
      () => '_\r\n',
      () => `:${this.below(1e6)}\r\n`,
      () => ':-9223372036854775808\r\n',
      () => ',nan\r\n',
      () => '#t\r\n',
      () => '-ERR x\r\n',
      () => `-${this.pick(['READONLY', 'LOADING', 'MOVED 1 127.0.0.1:1', 'NOAUTH', 'OOM', 'BUSY', ''])} x\r\n`,
      () => {
        const value = this.bytes(this.length(3000))
        return `$${value.length}\r\n${value}\r\n`
      },
      () => this.bytes(this.length(50)),
    ]
    if (depth === 0 || this.chance(0.6)) return this.pick(simple)()
    const length = this.length(6) - 1
    const kind = this.pick(['*', '*', '~', '%', '>'])
    let text = `${kind}${length}\r\n`
    for (let left = kind === '%' ? length * 2 : length; left > 0; left--) text += this.resp(depth - 1)
    return text
  }
}
