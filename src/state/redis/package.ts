/**
 * Loads ioredis if a Redis is configured, and undoes a slowdown of all strings in the process that loading it causes.
 */
import { createRequire } from 'node:module'

/** Enough reads for V8 to collect feedback, at which point it makes a prototype fast again. */
const READS = 20_000

/**
 * The package, loaded at the first call: without a Redis its 10 MiB are saved.
 *
 * The package has a subclass of String, and a prototype that gets a subclass falls back to dictionary mode in V8. Property reads through
 * objects make it fast again, reads through primitive strings never do: compiled code would look up `charCodeAt` and the like at every
 * call for the life of the process (measured: 2 us per forwarded request). So it is read through an object here.
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

/** The parts of its reply parser that are used here. */
interface DataHandler {
  readonly redis: object
  dispatch(reply: () => void): void
  /** Ends the connection, and fails its pending commands. */
  returnFatalError(error: Error): void
}

const contained = new WeakSet<object>()
let patched = false

/**
 * Makes exceptions while parsing a reply end only that connection. The package rethrows them where nothing can catch them, which would end
 * the process: a pub/sub message without a channel is enough.
 * @param client one of banyan's own; other users of the package are not affected
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
