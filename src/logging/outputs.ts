/**
 * Log outputs: a file, a pipe, a terminal. They never block or throw, and buffer a bounded amount.
 */
import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs'
import { isatty } from 'node:tty'
import { toStderr } from '../printing.ts'

/** Buffer for slow readers in bytes; further lines are dropped. */
const MAX_UNREAD_BYTES = 16 * 1024 * 1024

/** A pipe or a terminal that is full is tried again after this. */
const RETRY_MS = 10

/** Takes lines. */
export interface LineOutput {
  /**
   * Writes whole lines, now or when the reader is ready. What can't be written is dropped, which is reported once.
   * @param lines the caller may reuse the bytes after the call
   * @returns false if the reader is behind: the caller should wait for `onDrain`
   */
  write(lines: Buffer): boolean
  /** Calls once when everything is written that can be. */
  onDrain(listener: () => void): void
}

/** Told of the first write that fails, and again after one that has succeeded. */
export type OnFault = (error: NodeJS.ErrnoException) => void

/**
 * The standard output of the process, whatever it is.
 * @param onFault told when lines are lost
 */
export function openStdout(onFault: OnFault): LineOutput {
  const kind = fstatSync(1)
  if (kind.isFIFO() || kind.isSocket()) return new StreamOutput(process.stdout, onFault)
  // A terminal that somebody has stopped (Ctrl-S) must not stop the proxy. Opened anew, so that the shell's own is as it was.
  if (isatty(1)) {
    try {
      return new LineFile('/proc/self/fd/1', onFault)
    } catch {
      return new StreamOutput(process.stdout, onFault)
    }
  }
  return new LineFile(1, onFault)
}

/** Says something where the log itself can't be written. */
export function complain(message: string): void {
  toStderr(`banyan: ${message}\n`)
}

/** Tells a fault once, until a write has succeeded again. */
class Faults {
  readonly #onFault: OnFault
  #failing = false

  constructor(onFault: OnFault) {
    this.#onFault = onFault
  }

  report(error: NodeJS.ErrnoException): void {
    if (!this.#failing) this.#onFault(error)
    this.#failing = true
  }

  over(): void {
    this.#failing = false
  }
}

function unread(): NodeJS.ErrnoException {
  return Object.assign(new Error('no reader'), { code: 'EAGAIN' })
}

/** A pipe or a socket: node writes to it without blocking, and keeps it open whatever a write says. */
class StreamOutput implements LineOutput {
  readonly #stream: NodeJS.WriteStream
  readonly #faults: Faults

  constructor(stream: NodeJS.WriteStream, onFault: OnFault) {
    this.#stream = stream
    this.#faults = new Faults(onFault)
    stream.on('error', (error) => this.#faults.report(error))
  }

  write(lines: Buffer): boolean {
    if (this.#stream.writableLength + lines.length > MAX_UNREAD_BYTES) {
      this.#faults.report(unread())
      return false
    }
    return this.#stream.write(Buffer.from(lines), (error) => {
      if (!error) this.#faults.over()
    })
  }

  onDrain(listener: () => void): void {
    if (this.#stream.writableLength === 0) listener()
    // Behind all that is written already; called for a write that fails too.
    else this.#stream.write('', listener)
  }
}

/**
 * A file that lines are appended to, or a pipe or terminal with a path. A full disk ends nothing: lines are lost until there is
 * room. A pipe that is full gets the rest later.
 */
export class LineFile implements LineOutput {
  readonly #path: string | null
  readonly #faults: Faults
  #fd: number
  /** What of a batch did not fit: the file must not go on in the middle of a line. */
  #torn = false
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #drained: (() => void)[] = []

  /**
   * @param file its path, or a descriptor that is open already
   * @throws {Error} if the file can't be opened for appending; ENXIO for a pipe without a reader
   */
  constructor(file: string | number, onFault: OnFault) {
    this.#path = typeof file === 'string' ? file : null
    this.#fd = typeof file === 'string' ? openToAppend(file) : file
    this.#faults = new Faults(onFault)
  }

  /** Opens the path anew, since what was there may have been moved away; where that fails, goes on with the old file. */
  reopen(): void {
    if (this.#path === null) return
    try {
      const fd = openToAppend(this.#path)
      closeSync(this.#fd)
      this.#fd = fd
      this.#torn = false
    } catch (error) {
      this.#faults.report(error as NodeJS.ErrnoException)
    }
  }

  /** Synchronous: the page cache takes the lines in microseconds, and at exit nothing is left behind. */
  write(lines: Buffer): boolean {
    if (this.#waiting.length > 0) this.#wait(lines)
    else this.#put(lines)
    return this.#waiting.length === 0
  }

  onDrain(listener: () => void): void {
    if (this.#waiting.length === 0) listener()
    else this.#drained.push(listener)
  }

  #put(lines: Buffer): void {
    const bytes = this.#torn ? Buffer.concat([Buffer.from('\n'), lines]) : lines
    let at = 0
    try {
      while (at < bytes.length) at += writeSync(this.#fd, bytes, at)
      this.#torn = false
      this.#faults.over()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') {
        this.#torn = false
        this.#wait(bytes.subarray(at))
        return
      }
      if (at > 0) this.#torn = true
      this.#faults.report(error as NodeJS.ErrnoException)
    }
  }

  #wait(bytes: Buffer): void {
    if (this.#waitingBytes + bytes.length > MAX_UNREAD_BYTES) {
      this.#faults.report(unread())
      return
    }
    if (this.#waiting.length === 0) setTimeout(() => this.#again(), RETRY_MS).unref()
    this.#waiting.push(Buffer.from(bytes))
    this.#waitingBytes += bytes.length
  }

  #again(): void {
    const waiting = this.#waiting.splice(0)
    this.#waitingBytes = 0
    // What does not fit now waits again, in its order.
    for (const bytes of waiting) this.write(bytes)
    if (this.#waiting.length === 0) for (const listener of this.#drained.splice(0)) listener()
  }
}

/** Targets and addresses are not for everybody on the machine. */
const LOG_MODE = 0o640

/** Without waiting for a reader, should it be a pipe. */
function openToAppend(path: string): number {
  const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK, O_NOCTTY } = constants
  return openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY, LOG_MODE)
}
