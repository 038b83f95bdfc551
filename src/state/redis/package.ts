/**
 * Loads ioredis where a Redis is configured, and undoes what loading it does to every string of the process.
 */
import { createRequire } from 'node:module'

/** Reads enough for V8 to collect feedback on the read, which is when it turns a prototype fast again. */
const READS = 20_000

/**
 * The package, loaded at the first call: without a Redis its 10 MiB are saved.
 *
 * It has a subclass of String, and a prototype that gets an heir falls back to a dictionary in V8. Objects that are read
 * through it turn it fast again, primitive strings never do: compiled code would look `charCodeAt` and its like up at every
 * call for as long as the process lives (measured: 2 us of a forwarded request). So it is read through an object here.
 */
export function loadRedis(): typeof import('ioredis') {
  const ioredis = createRequire(import.meta.url)('ioredis') as typeof import('ioredis')
  const wrapped = Object('') as string
  for (let i = 0; i < READS; i++) methodOf(wrapped)
  return ioredis
}

function methodOf(text: string): unknown {
  return text.charCodeAt
}

/** What its reader of replies is made of, as far as it is needed here. */
interface DataHandler {
  readonly redis: object
  dispatch(reply: () => void): void
  /** Ends the connection, and fails what was asked on it. */
  returnFatalError(error: Error): void
}

const contained = new WeakSet<object>()
let patched = false

/**
 * Keeps what a reply makes the package throw within its connection, which ends by it. The package itself throws it again
 * where nobody can catch it, which would end the process: a message without a channel is enough.
 * @param client one of this process's own; others that share the package stay as they are
 */
export function containFaults(client: object): void {
  contained.add(client)
  if (patched) return
  patched = true
  const load = createRequire(import.meta.url)
  const { prototype } = (load('ioredis/built/DataHandler') as { default: { prototype: DataHandler } }).default
  const { dispatch } = prototype
  prototype.dispatch = function (this: DataHandler, reply) {
    if (!contained.has(this.redis)) return dispatch.call(this, reply)
    try {
      reply()
    } catch (error) {
      this.returnFatalError(error as Error)
    }
  }
}
