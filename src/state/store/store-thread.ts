/**
 * The thread that works on the files of a state folder: it waits for the disk, and nobody who serves does.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { DATABASE_BOUNDS, StateDatabase } from './database.ts'
import { FolderLock } from './folder-lock.ts'
import type { Answer, Call, ThreadStart } from './folder-store.ts'
import { StateError } from './store.ts'

const { file, lockFile, bounds, lockPollMs } = workerData as ThreadStart

let database: StateDatabase | null = null
/** Held here where another instance had it when this one started. */
let lock: FolderLock | null = null

function opened(): StateDatabase {
  const onDamage = (message: string): void => parentPort?.postMessage({ kind: 'damage', message } satisfies Answer)
  database ??= StateDatabase.open(file, onDamage, { ...DATABASE_BOUNDS, ...bounds })
  return database
}

function answer({ id, name, args }: Call): Answer {
  try {
    const method = opened()[name] as (...given: readonly unknown[]) => unknown
    return { kind: 'done', id, value: method.apply(opened(), args as unknown[]) }
  } catch (error) {
    const { fault, message } = error instanceof StateError ? error : new StateError('failed', String(error))
    // A file that is damaged, was replaced, or can be written again, is opened anew by the next call.
    if (fault === 'corrupt' || fault === 'failed' || fault === 'read-only') close()
    return { kind: 'failed', id, fault, message }
  }
}

function close(): void {
  database?.close()
  database = null
}

/** Tries to take the lock until it is free. */
function awaitLock(): void {
  try {
    lock = FolderLock.take(lockFile)
  } catch {
    // The file system may be back later.
  }
  if (lock !== null) parentPort?.postMessage({ kind: 'locked' } satisfies Answer)
  else setTimeout(awaitLock, lockPollMs)
}

parentPort?.on('message', (call: Call | 'await-lock' | 'close') => {
  if (call === 'await-lock') awaitLock()
  else if (call === 'close') {
    close()
    lock?.release()
    process.exit()
  } else parentPort?.postMessage(answer(call))
})
