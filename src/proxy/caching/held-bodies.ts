/**
 * Bodies held beside the store: those that are being fetched, and stored ones that clients are still being sent, which may
 * have been evicted meanwhile. Beyond the bound, clients that take nothing are cut off, the one that has stalled longest first.
 */
/** A client that has taken something within this time has not stalled. */
const STALLED_MS = 1000

/** A client that is sent a body. */
export interface Holder {
  /** Milliseconds of `performance.now()` at which it last took something. */
  readonly progressMs: number
  /** Ends its connection, since it takes nothing. */
  cutOff(): void
}

/** The bodies that one process holds. */
export class HeldBodies {
  readonly maxBytes: number
  bytes = 0
  /** Complete bodies, and whom they are being sent to. */
  readonly #sent = new Map<Buffer, Set<Holder>>()

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  /** Whether so many more bytes are within the bound; clients that have stalled may be cut off for them. */
  hasRoomFor(bytes: number): boolean {
    while (this.bytes + bytes > this.maxBytes && this.#cutStalled()) {}
    return this.bytes + bytes <= this.maxBytes
  }

  /** A complete body is being sent. */
  hold(body: Buffer, holder: Holder): void {
    const holders = this.#sent.get(body)
    if (holders !== undefined) {
      holders.add(holder)
      return
    }
    this.hasRoomFor(body.length)
    this.bytes += body.length
    this.#sent.set(body, new Set([holder]))
  }

  release(body: Buffer, holder: Holder): void {
    const holders = this.#sent.get(body)
    if (holders?.delete(holder) !== true || holders.size > 0) return
    this.#sent.delete(body)
    this.bytes -= body.length
  }

  /** @returns whether there was a body that nobody has taken anything of lately */
  #cutStalled(): boolean {
    let oldestMs = performance.now() - STALLED_MS
    let stalled: Buffer | null = null
    for (const [body, holders] of this.#sent) {
      let progressMs = Number.NEGATIVE_INFINITY
      for (const holder of holders) progressMs = Math.max(progressMs, holder.progressMs)
      if (progressMs >= oldestMs) continue
      oldestMs = progressMs
      stalled = body
    }
    if (stalled === null) return false
    for (const holder of [...(this.#sent.get(stalled) as Set<Holder>)]) {
      this.release(stalled, holder)
      holder.cutOff()
    }
    return true
  }
}
