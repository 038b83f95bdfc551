/**
 * Listening on Unix sockets: file permissions, and stale files that a process left behind.
 */
import { existsSync, lstatSync, unlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname } from 'node:path'

/** Permission bits of the file: write permission is needed to connect. */
export const DEFAULT_SOCKET_MODE = 0o660

const ALL = 0o777

/**
 * Binds a socket to a path. A stale socket there, on which nothing listens, is removed first.
 * @param mode of the file, from the moment it exists
 * @param bind binds synchronously, and returns the result
 * @throws errors with a `code`: EADDRINUSE if something listens there, EEXIST if the path is something other than a socket, ENOENT
 * if its folder is missing
 */
export async function bindAt<T>(path: string, mode: number = DEFAULT_SOCKET_MODE, bind: () => T): Promise<T> {
  // Otherwise node would report a missing folder as a permission error.
  if (!existsSync(dirname(path))) throw problem('ENOENT', `there is no folder ${dirname(path)}`)
  await removeStale(path)
  // A socket file gets all bits except those in the umask. Nothing else runs on this thread before the umask is restored.
  const before = process.umask(ALL & ~mode)
  try {
    return bind()
  } finally {
    process.umask(before)
  }
}

async function removeStale(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return
  if (!found.isSocket()) throw problem('EEXIST', 'the file exists and is not a socket')
  if (await answers(path)) throw problem('EADDRINUSE', 'address already in use')
  // Another process may have put its own socket there meanwhile.
  const now = lstatSync(path, { throwIfNoEntry: false })
  if (now !== undefined && now.ino === found.ino && now.dev === found.dev) unlinkSync(path)
}

/** Whether something listens on a socket. Anything but ECONNREFUSED counts, such as a full backlog or missing permissions. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    const done = (is: boolean): void => {
      socket.destroy()
      resolve(is)
    }
    socket.once('connect', () => done(true))
    socket.once('error', ({ code }: NodeJS.ErrnoException) => done(code !== 'ECONNREFUSED' && code !== 'ENOENT'))
  })
}

function problem(code: string, message: string): Error {
  return Object.assign(new Error(message), { code })
}
