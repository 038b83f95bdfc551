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
import { FileError, type FileFlaw, readFileWithinNow } from '../../state/read-file.ts'

/**
 * Why a file was not replaced.
 *
 * - `changed`: it no longer holds what the caller read
 * - `read-only`: the file, its folder or its file system may not be written to
 * - `no-space`: the disk or the quota is full
 * - `no-file`: what lies at the path is no regular file, or can't be one
 * - `cluster`: the cluster's Redis can't be written to
 * - `unknown`: it may have been written: the cluster's Redis has not answered
 * - `failed`: anything else; the message says what
 */
export type WriteFlaw = 'changed' | 'read-only' | 'no-space' | 'no-file' | 'cluster' | 'unknown' | 'failed'

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
  ENOENT: 'no-file',
  ENOTDIR: 'no-file',
  EISDIR: 'no-file',
  ELOOP: 'no-file',
  ENAMETOOLONG: 'no-file',
  EBUSY: 'no-file',
}

/** Maximum size of a file that an edit overwrites: its content is held in memory and kept in the history. */
export const MAX_OVERWRITTEN_BYTES = 64 * 1024 * 1024

/** A temporary file older than this was left by a process that died in the middle of a write. */
const ABANDONED_MS = 60_000

/**
 * Replaces the text of a file, following symbolic links, and keeps its mode and, if permitted, its owner. When it returns, the
 * new text has reached the disk.
 *
 * `isCurrent` gets the bytes of the file right before they are replaced; if it returns false nothing is written.
 * @throws {WriteFailure} nothing was replaced, and no temporary file is left. Exception: if the directory can't be synced, the
 *   new text is in place but may be lost in a power failure
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
 * Creates a file atomically and durably. Its folder must exist.
 * @param like mode and, if permitted, owner of the file; null: readable by this user only
 * @throws {WriteFailure} the file was not created; `changed` if it exists by now
 */
export async function createFile(path: string, text: string | Buffer, like: Stats | null): Promise<void> {
  try {
    const temporary = join(dirname(path), `${temporaryPrefix(path)}${process.pid}-${randomBytes(6).toString('hex')}`)
    try {
      await writeDurably(temporary, text, like)
      // Unlike rename, link never replaces a file that was created meanwhile.
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

/** Checks the mode, for root too: a rename would replace a file that its owner has made read-only. */
async function checkWritable(target: string, kind: Stats): Promise<void> {
  if (!kind.isFile()) throw new WriteFailure('no-file', kind.isDirectory() ? 'is a directory' : 'is not a regular file')
  if ((kind.mode & 0o222) === 0) throw new WriteFailure('read-only', 'is read-only')
  await access(target, constants.W_OK)
}

async function writeDurably(path: string, text: string | Buffer, like: Stats | null): Promise<void> {
  // Private until it gets the mode of the file that it replaces.
  const handle = await open(path, 'wx', 0o600)
  try {
    await handle.writeFile(text)
    if (like !== null) {
      await ownLike(handle, like)
      await handle.chmod(like.mode & 0o7777)
    }
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function ownLike(handle: FileHandle, like: Stats): Promise<void> {
  const { uid, gid } = await handle.stat()
  if (uid === like.uid && gid === like.gid) return
  // Only root may change the owner; the group can perhaps be kept.
  await handle.chown(like.uid, like.gid).catch(() => handle.chown(uid, like.gid).catch(() => {}))
}

/**
 * Compares a last time, and renames. Synchronous, so that none of our code runs in between. A gap of microseconds remains
 * between the two system calls; there is no portable call that does both.
 */
function replaceIfCurrent(target: string, temporary: string, isCurrent: (bytes: Buffer) => boolean): void {
  if (!isCurrent(readFileWithinNow(target, MAX_OVERWRITTEN_BYTES))) {
    throw new WriteFailure('changed', 'changed while it was being edited')
  }
  renameSync(temporary, target)
}

/** Makes the rename durable. File systems that can't sync a directory return EINVAL. */
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

/** Prefix of the names of a file's temporary files. Dot files, so that `*.yaml` does not match them. */
function temporaryPrefix(target: string): string {
  return `.${basename(target)}.banyan-`
}

/**
 * Removes temporary files of `path` that crashed processes have left: now those that are old enough, and once more when the
 * others are. Never rejects.
 */
export async function sweepAbandoned(path: string): Promise<void> {
  const now = async (): Promise<void> =>
    realpath(path)
      .then(sweep)
      .catch(() => {})
  setTimeout(now, 2 * ABANDONED_MS).unref()
  await now()
}

/** Removes temporary files older than a minute: a newer one may belong to a running process. */
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

const FLAW_BY_FILE: Readonly<Record<FileFlaw, WriteFlaw>> = {
  missing: 'no-file',
  'no-file': 'no-file',
  'too-large': 'no-file',
  unreadable: 'failed',
}

function failureOf(error: NodeJS.ErrnoException): WriteFailure {
  if (error instanceof FileError) return new WriteFailure(FLAW_BY_FILE[error.flaw], error.message, error)
  const flaw = FLAW_BY_CODE[error.code ?? ''] ?? 'failed'
  const message =
    error.code === 'EBUSY'
      ? "is a mount point by itself, so it can't be replaced as a whole: mount its folder instead"
      : `can't be replaced: ${error.message}`
  return new WriteFailure(flaw, message, error)
}
