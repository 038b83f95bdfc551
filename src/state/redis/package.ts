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
