/**
 * Parsers for Redis replies, which check their shape: Redis may be of another version, behind a proxy, faulty, or shared with programs
 * that use the same keys.
 */

/**
 * Reads a reply as the client library gives it.
 * @returns undefined if it does not have the shape that the command promises
 */
export type ReadReply<T> = (reply: unknown) => T | undefined

/** The reply to a SET: stored, or null if NX or XX prevented it. */
export const readSet: ReadReply<'OK' | null> = (reply) => (reply === 'OK' || reply === null ? reply : undefined)

/** An integer, such as the replies to DEL, PUBLISH and PEXPIRE. */
export const readInteger: ReadReply<number> = (reply) => (Number.isSafeInteger(reply) ? (reply as number) : undefined)

/** A lock: the milliseconds until it expires, 0 if it was taken just now, and the token of its holder. */
export const readLock: ReadReply<{ readonly leftMs: number; readonly token: string }> = (reply) => {
  if (!Array.isArray(reply) || reply.length !== 2) return undefined
  const [leftMs, token] = reply as unknown[]
  return typeof leftMs === 'number' && leftMs >= 0 && typeof token === 'string' ? { leftMs, token } : undefined
}

/** The reply to a GET: bytes, or null for none. */
export const readValue: ReadReply<Buffer | null> = (reply) =>
  reply === null || Buffer.isBuffer(reply) ? reply : undefined

/** The reply to a GET as text; null for none. */
export const readText: ReadReply<{ readonly text: string | null }> = (reply) =>
  reply === null || typeof reply === 'string' ? { text: reply } : undefined

/** The reply to an HGETALL as text; empty for none. */
export const readFields: ReadReply<Readonly<Record<string, string>>> = (reply) =>
  typeof reply === 'object' && reply !== null && Object.values(reply).every((value) => typeof value === 'string')
    ? (reply as Record<string, string>)
    : undefined

/** The reply to an MGET of `count` keys. */
export function readValues(count: number): ReadReply<readonly (Buffer | null)[]> {
  return (reply) =>
    Array.isArray(reply) && reply.length === count && reply.every((value) => readValue(value) !== undefined)
      ? (reply as (Buffer | null)[])
      : undefined
}

/** The replies to TYPE for `count` keys. */
export function readTypes(count: number): ReadReply<readonly string[]> {
  return (reply) =>
    Array.isArray(reply) && reply.length === count && reply.every((type) => typeof type === 'string')
      ? (reply as string[])
      : undefined
}

/** The id of a stream entry: two numbers (XADD). */
export const readStreamId: ReadReply<string> = (reply) =>
  typeof reply === 'string' && /^[0-9]{1,20}-[0-9]{1,20}$/.test(reply) ? reply : undefined

/** The result of appending to the shared log. */
export interface Appended {
  /** The first record; '' if the log ends elsewhere. */
  readonly first: string
  /** Connected replicas. */
  readonly replicas: number
  /** Connected replicas that are online, having synchronized. */
  readonly following: number
}

/** The reply to an append. */
export const readAppended: ReadReply<Appended> = (reply) => {
  if (!Array.isArray(reply) || reply.length !== 3) return undefined
  const [replicas, following] = [readInteger(reply[1]), readInteger(reply[2])]
  const first = reply[0] === '' ? '' : readStreamId(reply[0])
  return first === undefined || replicas === undefined || following === undefined
    ? undefined
    : { first, replicas, following }
}

/** An entry of a stream. */
export interface StreamEntry {
  readonly id: string
  /** The value of its first field; '' for none. */
  readonly value: string
  readonly fields: number
}

/** Entries of a stream (XRANGE, XREVRANGE), each with its first field. */
export const readStream: ReadReply<readonly StreamEntry[]> = (reply) => {
  if (!Array.isArray(reply)) return undefined
  const entries: StreamEntry[] = []
  for (const item of reply as unknown[]) {
    if (!Array.isArray(item) || !Array.isArray(item[1])) return undefined
    const id = readStreamId(item[0])
    if (id === undefined) return undefined
    const value: unknown = item[1][1]
    entries.push({ id, value: typeof value === 'string' ? value : '', fields: item[1].length / 2 })
  }
  return entries
}
