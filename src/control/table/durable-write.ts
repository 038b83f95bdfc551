/**
 * Replaces a file as a whole: after a crash at any moment it holds the old text or the new one, never less.
 */
import { randomBytes } from 'node:crypto'
import { renameSync, type Stats } from 'node:fs'
import {
  access,
  constants,
  type FileHandle,
  link,
  lstat,
  open,
  readdir,
  realpath,
  stat,
  unlink,
} from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { FileError, readFileWithinNow } from '../../state/read-file.ts'

/**
 * Why a file was not replaced.
 *
 * - `changed`: it no longer holds what the caller read
 * - `read-only`: the file, its folder or its file system may not be written to
 * - `no-space`: the disk or the quota is full
 * - `failed`: anything else; the message says what
 */
export type WriteFlaw = 'changed' | 'read-only' | 'no-space' | 'failed'

/** A file that was not replaced, with a message for the operator. */
export class WriteFailure extends Error {
  readonly flaw: WriteFlaw
  constructor(flaw: WriteFlaw, message: string, cause?: unknown) {
    super(message, { cause })
    this.flaw = flaw
  }
}

const FLAW_BY_CODE: Readonly<Record<string, WriteFlaw>> = {
  EACCES: 'read-only',
  EPERM: 'read-only',
  EROFS: 'read-only',
  ENOSPC: 'no-space',
  EDQUOT: 'no-space',
  EFBIG: 'no-space',
}

/** What an edit may write over, whatever it is: it is held in memory, and kept in the history. */
export const MAX_OVERWRITTEN_BYTES = 64 * 1024 * 1024

/** A temporary file older than this was left by a process that died in the middle of a write. */
const ABANDONED_MS = 60_000

/**
 * Replaces the text of the file that `path` means (through symbolic links, which stay), keeping its mode and, where
 * permitted, its owner. When it returns, the new text has reached the disk.
 *
 * `isCurrent` gets the bytes that the file holds at the last moment before they are replaced; where it says false nothing is written.
 * @throws {WriteFailure} nothing was replaced, and no temporary file is left; only where the folder itself can't be synced
 *   the new text stands already, and may be gone after a power cut
 */
export async function replaceFile(
  path: string,
  text: string | Buffer,
  isCurrent: (bytes: Buffer) => boolean,
): Promise<void> {
  try {
    const target = await realpath(path)
    const kind = await stat(target)
    await checkWritable(target, kind)
    await sweep(target)
    const temporary = join(
      dirname(target),
      `${temporaryPrefix(target)}${process.pid}-${randomBytes(6).toString('hex')}`,
    )
    try {
      await writeDurably(temporary, text, kind)
      replaceIfCurrent(target, temporary, isCurrent)
    } catch (error) {
      await unlink(temporary).catch(() => {})
      throw error
    }
    await syncFolder(dirname(target))
  } catch (error) {
    throw error instanceof WriteFailure ? error : failureOf(error as NodeJS.ErrnoException)
  }
}

/**
 * Makes a file that is not there, whole and durably; the folder must be.
 * @throws {WriteFailure} there is no such file after all; `changed` where it has come into being meanwhile
 */
export async function createFile(path: string, text: string | Buffer): Promise<void> {
  try {
    const temporary = join(dirname(path), `${temporaryPrefix(path)}${process.pid}-${randomBytes(6).toString('hex')}`)
    try {
      await writeSynced(temporary, text, 0o644)
      // A link, unlike a rename, never replaces what somebody else has made meanwhile.
      await link(temporary, path)
    } finally {
      await unlink(temporary).catch(() => {})
    }
    await syncFolder(dirname(path))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') throw new WriteFailure('changed', 'changed while it was being edited', error)
    throw failureOf(error as NodeJS.ErrnoException)
  }
}

async function writeSynced(path: string, text: string | Buffer, mode: number): Promise<void> {
  const handle = await open(path, 'wx', mode)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** A rename would replace a file that its owner has made read-only, so the mode is asked, of the superuser too. */
async function checkWritable(target: string, kind: Stats): Promise<void> {
  if (!kind.isFile()) throw new WriteFailure('failed', kind.isDirectory() ? 'is a directory' : 'is not a regular file')
  if ((kind.mode & 0o222) === 0) throw new WriteFailure('read-only', 'is read-only')
  await access(target, constants.W_OK)
}

async function writeDurably(path: string, text: string | Buffer, like: Stats): Promise<void> {
  // Readable by nobody else until it has the mode of the file that it replaces.
  const handle = await open(path, 'wx', 0o600)
  try {
    await handle.writeFile(text)
    await ownLike(handle, like)
    await handle.chmod(like.mode & 0o7777)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function ownLike(handle: FileHandle, like: Stats): Promise<void> {
  const { uid, gid } = await handle.stat()
  if (uid === like.uid && gid === like.gid) return
  // Only the superuser may give a file away; the group alone may still be kept.
  await handle.chown(like.uid, like.gid).catch(() => handle.chown(uid, like.gid).catch(() => {}))
}

/**
 * Looks a last time, and renames. Synchronous, so that nothing of ours runs in between: what is left are the microseconds
 * between two system calls, and no portable call compares and renames in one.
 */
function replaceIfCurrent(target: string, temporary: string, isCurrent: (bytes: Buffer) => boolean): void {
  if (!isCurrent(readFileWithinNow(target, MAX_OVERWRITTEN_BYTES))) {
    throw new WriteFailure('changed', 'changed while it was being edited')
  }
  renameSync(temporary, target)
}

/** Makes the rename itself durable. Some file systems can't sync a folder, and say so with EINVAL. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } catch (error) {
    if (!['EINVAL', 'ENOTSUP', 'EISDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  } finally {
    await handle.close()
  }
}

/** The beginning of the names of a file's temporary files. A dot file, so that no `*.yaml` finds it. */
function temporaryPrefix(target: string): string {
  return `.${basename(target)}.banyan-`
}

/**
 * Removes the temporary files of `path` that processes have left which died in the middle of a write: now those that are old enough,
 * and once more when the others are. Never rejects.
 */
export async function sweepAbandoned(path: string): Promise<void> {
  const now = async (): Promise<void> =>
    realpath(path)
      .then(sweep)
      .catch(() => {})
  setTimeout(now, 2 * ABANDONED_MS).unref()
  await now()
}

/** Removes what processes that died in the middle of a write have left, but for a minute: another one may be writing. */
async function sweep(target: string): Promise<void> {
  const folder = dirname(target)
  const prefix = temporaryPrefix(target)
  for (const name of await readdir(folder)) {
    if (!name.startsWith(prefix)) continue
    const path = join(folder, name)
    const left = await lstat(path).catch(() => null)
    if (left?.isFile() && Date.now() - left.mtimeMs > ABANDONED_MS) await unlink(path).catch(() => {})
  }
}

function failureOf(error: NodeJS.ErrnoException): WriteFailure {
  if (error instanceof FileError) return new WriteFailure('failed', error.message, error)
  const flaw = FLAW_BY_CODE[error.code ?? ''] ?? 'failed'
  const message =
    error.code === 'EBUSY'
      ? "is a mount point by itself, so it can't be replaced as a whole: mount its folder instead"
      : `can't be replaced: ${error.message}`
  return new WriteFailure(flaw, message, error)
}
