/**
 * One end of a TCP connection in a test: sends exact bytes, and awaits exact bytes, the end or a reset.
 */
import { once } from 'node:events'
import type { Socket } from 'node:net'

/** How a peer ended its side: `end` is a FIN, `reset` an RST. */
export type Ending = 'end' | 'reset'

/**
 * A wait of this length has failed: its error shows what had come, where the runner's own timeout shows nothing. Far longer
 * than anything takes on a busy machine.
 */
export const GIVE_UP_MS = 120_000

/** What is waited for, and how. */
interface Wait {
  /** For the message of a wait in vain. */
  readonly what: string
  /** Called once the wait has begun. */
  readonly arm?: () => void
  readonly endIsFine?: boolean
  readonly giveUpMs?: number
}

/** The peer ended before what was awaited had come. */
export class BrokenOff extends Error {
  readonly ending: Ending
  /** What had come of it, Latin-1. */
  readonly partial: string

  constructor(ending: Ending, partial: string) {
    super(`broken off by ${ending} behind ${JSON.stringify(partial.slice(-300))}`)
    this.ending = ending
    this.partial = partial
  }
}

/** A socket that is read by asking for bytes. Texts are Latin-1: one character is one byte. */
export class Wire {
  readonly socket: Socket
  #pieces: Buffer[] = []
  #held = 0
  #counting = false
  #ending: Ending | null = null
  readonly #waiting = new Set<() => void>()
  /** Bytes that have come so far, read or not. */
  received = 0

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (piece: Buffer) => {
      this.received += piece.length
      if (!this.#counting) {
        this.#pieces.push(piece)
        this.#held += piece.length
      }
      this.#wake()
    })
    socket.on('end', () => this.#end('end'))
    socket.on('error', () => this.#end('reset'))
    socket.on('close', () => this.#end('reset'))
  }

  /** Sends bytes as they are. Resolves once the kernel has taken them all, or the connection is gone. */
  async send(bytes: string | Buffer): Promise<void> {
    const { socket } = this
    if (socket.destroyed || socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)) return
    await this.#until(() => (socket.destroyed || !socket.writableNeedDrain ? true : null), {
      what: 'the peer to read',
      endIsFine: true,
      arm: () => void once(socket, 'drain').then(this.#wake, this.#wake),
    })
  }

  /** Half-closes: a FIN. */
  finish(): void {
    this.socket.end()
  }

  /** Cuts the connection: an RST. */
  reset(): void {
    this.socket.resetAndDestroy()
  }

  /**
   * @param giveUpMs Infinity where it is no failure that nothing comes
   * @returns everything up to and with `text`, which must come
   */
  async readUntil(text: string, giveUpMs: number = GIVE_UP_MS): Promise<string> {
    const mark = Buffer.from(text, 'latin1')
    const length = await this.#until(
      () => {
        const at = this.#all().indexOf(mark)
        return at === -1 ? null : at + mark.length
      },
      { what: JSON.stringify(text), giveUpMs },
    )
    return this.#take(length).toString('latin1')
  }

  /** @returns the next `count` bytes, which must come */
  async readBytes(count: number): Promise<Buffer> {
    await this.#until(() => (this.#held >= count ? true : null), { what: `${count} bytes` })
    return this.#take(count)
  }

  /** @returns all that is left, once the peer has ended its side, and how it did */
  async readToEnd(): Promise<{ text: string; ending: Ending }> {
    const ending = await this.ended()
    return { text: this.#take(this.#held).toString('latin1'), ending }
  }

  /** Resolves when the peer has ended its side. What it sent before can still be read. */
  ended(): Promise<Ending> {
    return this.#until(() => this.#ending, { what: 'the end', endIsFine: true })
  }

  /** Resolves when `count` bytes in all have come; from now on they are counted and thrown away. */
  async count(count: number): Promise<void> {
    this.#counting = true
    this.#take(this.#held)
    await this.#until(() => (this.received >= count ? true : null), { what: `${count} bytes in all` })
  }

  /** What has come and was not read yet. */
  get unread(): string {
    return this.#all().toString('latin1')
  }

  #all(): Buffer {
    if (this.#pieces.length !== 1) this.#pieces = [Buffer.concat(this.#pieces)]
    return this.#pieces[0] as Buffer
  }

  #take(count: number): Buffer {
    const all = this.#all()
    this.#pieces = [all.subarray(count)]
    this.#held -= count
    return all.subarray(0, count)
  }

  #end(ending: Ending): void {
    this.#ending ??= ending
    this.#wake()
  }

  readonly #wake = (): void => {
    for (const look of [...this.#waiting]) look()
  }

  #until<T>(found: () => T | null, wait: Wait): Promise<T> {
    const { what, arm, endIsFine = false, giveUpMs = GIVE_UP_MS } = wait
    return new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        this.#waiting.delete(look)
        clearTimeout(timer)
        act()
      }
      const look = (): void => {
        const value = found()
        if (value !== null) settle(() => resolve(value))
        else if (this.#ending !== null && !endIsFine) {
          const ending = this.#ending
          settle(() => reject(new BrokenOff(ending, this.unread)))
        }
      }
      const giveUp = (): void =>
        settle(() =>
          reject(new Error(`waited in vain for ${what}; unread: ${JSON.stringify(this.unread.slice(-600))}`)),
        )
      const timer = giveUpMs === Number.POSITIVE_INFINITY ? undefined : setTimeout(giveUp, giveUpMs)
      this.#waiting.add(look)
      arm?.()
      look()
    })
  }
}
