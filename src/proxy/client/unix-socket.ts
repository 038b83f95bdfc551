/**
 * Unix sockets to listen at: the permissions of their file, and files that a process left behind.
 */
import { existsSync, lstatSync, unlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname } from 'node:path'

/** Permission bits of the file: whoever may write to it may connect. */
export const DEFAULT_SOCKET_MODE = 0o660

const ALL = 0o777

/**
 * Binds a socket to a path. A socket that is left there, and that nobody listens at, is removed before.
 * @param mode of the file; it never has others, not even for a moment
 * @param bind binds at once, and returns what came of it
 * @throws errors with a `code`: EADDRINUSE where somebody listens there, EEXIST where something else than a socket is there, ENOENT
 * without its folder
 */
export async function bindAt<T>(path: string, mode: number = DEFAULT_SOCKET_MODE, bind: () => T): Promise<T> {
  // Without it the system's refusal reaches us as one of permissions.
  if (!existsSync(dirname(path))) throw problem('ENOENT', `there is no folder ${dirname(path)}`)
  await removeStale(path)
  // A socket is made with all bits but those of the mask. Nothing else runs on this thread before it is put back.
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
  // Another process may have put its own one there meanwhile.
  const now = lstatSync(path, { throwIfNoEntry: false })
  if (now !== undefined && now.ino === found.ino && now.dev === found.dev) unlinkSync(path)
}

/** Whether somebody listens at a socket: all but a refusal counts, such as a full queue or missing rights. */
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
