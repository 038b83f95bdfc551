/**
 * Reads files named by the operator: regular files only, up to a size limit, without blocking on pipes.
 */
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs'
import { open } from 'node:fs/promises'

/**
 * Why a file was not read.
 *
 * - `missing`: there is no file of that name
 * - `no-file`: a folder, a device, a pipe, a socket
 * - `too-large`: above the bound
 * - `unreadable`: the system refused
 */
export type FileFlaw = 'missing' | 'no-file' | 'too-large' | 'unreadable'

/** A file that was not read. The message says why, without its name: `is a directory`. */
export class FileError extends Error {
  readonly flaw: FileFlaw
  constructor(flaw: FileFlaw, message: string, cause?: unknown) {
    super(message, { cause })
    this.flaw = flaw
  }
}

/** Opening a pipe that nobody writes to, or a terminal, must not wait, nor change whose terminal this is. */
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY

const MIB = 1024 * 1024

/** So much is read at once; a file of /proc has more bytes than its size says. */
const PIECE_BYTES = 64 * 1024

/**
 * Reads a regular file.
 * @param maxBytes that it may have
 * @throws {FileError}
 */
export async function readFileWithin(path: string, maxBytes: number): Promise<Buffer> {
  const handle = await open(path, FLAGS).catch(refused)
  try {
    const size = sizeOf(await handle.stat(), maxBytes)
    const pieces = new Pieces(size, maxBytes)
    for (;;) {
      const piece = pieces.next()
      const { bytesRead } = await handle.read(piece, 0, piece.length, null)
      if (!pieces.took(bytesRead)) return pieces.whole()
    }
  } catch (error) {
    return refused(error)
  } finally {
    await handle.close().catch(() => {})
  }
}

/**
 * As `readFileWithin`, at once: for the start of the process, and for what must not be seen to change in between.
 * @param path or the number of a descriptor that is open, which may be a pipe: standard input is 0
 * @throws {FileError}
 */
export function readFileWithinNow(path: string | 0, maxBytes: number): Buffer {
  let fd = 0
  try {
    if (path !== 0) fd = openSync(path, FLAGS)
    const pieces = new Pieces(path === 0 ? 0 : sizeOf(fstatSync(fd), maxBytes), maxBytes)
    for (;;) {
      const piece = pieces.next()
      if (!pieces.took(readSync(fd, piece, 0, piece.length, null))) return pieces.whole()
    }
  } catch (error) {
    return refused(error)
  } finally {
    if (fd !== 0) closeSync(fd)
  }
}

/** What has been read so far. */
class Pieces {
  readonly #maxBytes: number
  readonly #pieces: Buffer[] = []
  #next: Buffer
  #bytes = 0

  constructor(size: number, maxBytes: number) {
    this.#maxBytes = maxBytes
    // One byte more shows that nothing follows.
    this.#next = Buffer.allocUnsafe(size + 1)
  }

  /** Where the next bytes are to be read to. */
  next(): Buffer {
    return this.#next
  }

  /** @returns whether more may follow */
  took(count: number): boolean {
    if (count === 0) return false
    this.#bytes += count
    if (this.#bytes > this.#maxBytes) throw tooLarge(this.#maxBytes)
    this.#pieces.push(this.#next.subarray(0, count))
    this.#next = count < this.#next.length ? this.#next.subarray(count) : Buffer.allocUnsafe(PIECE_BYTES)
    return true
  }

  whole(): Buffer {
    return Buffer.concat(this.#pieces, this.#bytes)
  }
}

function sizeOf(kind: Stats, maxBytes: number): number {
  if (kind.isDirectory()) throw new FileError('no-file', 'is a directory')
  if (!kind.isFile()) throw new FileError('no-file', 'is not a regular file')
  if (kind.size > maxBytes) throw tooLarge(maxBytes)
  return kind.size
}

function tooLarge(maxBytes: number): FileError {
  return new FileError('too-large', `is larger than ${maxBytes / MIB} MiB`)
}

const WORDS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  ELOOP: 'too many symbolic links',
  EMFILE: 'too many open files',
  ENFILE: 'too many open files',
  ENAMETOOLONG: 'file name too long',
  EIO: 'input/output error',
  ERR_INVALID_ARG_VALUE: 'file name contains a null byte',
}

function refused(error: unknown): never {
  if (error instanceof FileError) throw error
  const { code = '', message } = error as NodeJS.ErrnoException
  if (code === 'ENOENT' || code === 'ENOTDIR') throw new FileError('missing', 'no such file', error)
  // A socket, or a device without a driver.
  if (code === 'ENXIO' || code === 'ENODEV') throw new FileError('no-file', 'is not a regular file', error)
  throw new FileError('unreadable', `can't be read: ${WORDS[code] ?? message}`, error)
}
