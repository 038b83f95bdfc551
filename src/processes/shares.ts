/**
 * How many connections each worker has, in memory that the primary and all workers share: a file without a name. Reading
 * and writing it costs a system call each, and no other process has to do anything for it.
 */
import { openSync, readSync, unlinkSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { StartError } from '../start-error.ts'

/** Numbers of a record, 32 bits each. */
const FIELDS = 5
const RECORD_BYTES = FIELDS * 4
/** Written by its worker: open connections; 1 if it is out of file descriptors; the number of its turn. */
const CONNECTIONS = 0
const FULL = 1
const TURN = 2
/** Written by the primary: whether the record counts; the turn that the listening socket was sent for. */
const COUNTS = 3
const SENT = 4

/** Folders for the file. In the first one it is never written to a disk. */
const FOLDERS = ['/dev/shm', tmpdir()]

/** The records of all workers, as of the last `read`. */
export class Shares {
  /** The file. Workers inherit it. */
  readonly fd: number
  readonly #numbers: Int32Array
  readonly #bytes: Uint8Array

  /** @param workers how many there are to be; while they are replaced there may be twice as many */
  constructor(fd: number, workers: number) {
    this.fd = fd
    this.#numbers = new Int32Array(2 * workers * FIELDS)
    this.#bytes = new Uint8Array(this.#numbers.buffer)
  }

  /** @throws {StartError} if there is no place for the file */
  static create(workers: number): Shares {
    const reasons: string[] = []
    for (const folder of FOLDERS) {
      const path = join(folder, `banyan-${process.pid}-${Date.now()}`)
      try {
        const fd = openSync(path, 'wx+', 0o600)
        unlinkSync(path)
        const shares = new Shares(fd, workers)
        // All of it now, so that later writes need no room.
        writeSync(fd, shares.#bytes)
        return shares
      } catch (error) {
        reasons.push((error as Error).message)
      }
    }
    throw new StartError(`--workers needs a writable temporary folder: ${reasons.join('; ')}`)
  }

  /** Reads what the others have written. */
  read(): void {
    readSync(this.fd, this.#bytes, 0, this.#bytes.length, 0)
  }

  connections(at: number): number {
    return this.#get(at, CONNECTIONS)
  }

  /** What is compared: the connections of a worker, or infinity if it is out of file descriptors. */
  load(at: number): number {
    return this.#get(at, FULL) === 1 ? Number.POSITIVE_INFINITY : this.#get(at, CONNECTIONS)
  }

  /** The least load of all workers that count; infinity without any. */
  get lowest(): number {
    let lowest = Number.POSITIVE_INFINITY
    for (let at = 0; at < this.#size; at++) {
      if (this.#get(at, COUNTS) === 1) lowest = Math.min(lowest, this.load(at))
    }
    return lowest
  }

  /** Whether a worker does not accept connections now. */
  isPaused(at: number): boolean {
    return isPause(this.#get(at, TURN))
  }

  /** Whether the listening socket was sent to a worker that is paused. */
  isSent(at: number): boolean {
    return this.isPaused(at) && this.#get(at, SENT) === this.#get(at, TURN)
  }

  /** The paused workers that are to accept again: none has a lower load, and the listening socket is not on its way to them. */
  due(): number[] {
    const { lowest } = this
    const due: number[] = []
    for (let at = 0; at < this.#size; at++) {
      const waits = this.#get(at, COUNTS) === 1 && this.isPaused(at) && !this.isSent(at)
      if (waits && this.load(at) <= lowest) due.push(at)
    }
    return due
  }

  /** A worker writes its part. @param turn odd while it is paused; the next number each time that this changes */
  write(at: number, connections: number, isFull: boolean, turn: number): void {
    this.#set(at, CONNECTIONS, connections)
    this.#set(at, FULL, isFull ? 1 : 0)
    this.#set(at, TURN, turn)
    this.#save(at, CONNECTIONS, TURN)
  }

  /** The primary takes a free record for a new worker. It is paused, and does not count yet. */
  take(): number {
    for (let at = 0; at < this.#size; at++) {
      if (this.#get(at, TURN) !== 0) continue
      this.#set(at, TURN, FIRST_TURN)
      this.#save(at, CONNECTIONS, SENT)
      return at
    }
    throw new Error('more than two workers for each place')
  }

  /** The primary: its worker has exited. */
  free(at: number): void {
    for (let field = CONNECTIONS; field <= SENT; field++) this.#set(at, field, 0)
    this.#save(at, CONNECTIONS, SENT)
  }

  /** The primary: whether a worker counts. */
  setCounts(at: number, counts: boolean): void {
    this.#set(at, COUNTS, counts ? 1 : 0)
    this.#save(at, COUNTS, SENT)
  }

  /** The primary: whether it has sent the listening socket to a paused worker. */
  setSent(at: number, sent: boolean): void {
    this.#set(at, SENT, sent ? this.#get(at, TURN) : 0)
    this.#save(at, COUNTS, SENT)
  }

  get #size(): number {
    return this.#numbers.length / FIELDS
  }

  #get(at: number, field: number): number {
    return this.#numbers[at * FIELDS + field]!
  }

  #set(at: number, field: number, value: number): void {
    this.#numbers[at * FIELDS + field] = value
  }

  #save(at: number, first: number, last: number): void {
    const start = at * RECORD_BYTES + first * 4
    writeSync(this.fd, this.#bytes, start, (last - first + 1) * 4, start)
  }
}

/** The turn that a worker begins with: paused. */
export const FIRST_TURN = 1

function isPause(turn: number): boolean {
  return turn % 2 === 1
}
