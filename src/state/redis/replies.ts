/**
 * Replies of Redis, read by their shape. A Redis is a peer like any other: of another version, behind a proxy, at fault, or
 * shared with programs that use the same keys. What does not have the expected shape is no reply.
 */

/**
 * Reads a reply as the client library gives it.
 * @returns undefined where it does not have the shape that the command promises
 */
export type ReadReply<T> = (reply: unknown) => T | undefined

/** The reply to a SET: stored, or null where NX or XX kept it from being stored. */
export const readSet: ReadReply<'OK' | null> = (reply) => (reply === 'OK' || reply === null ? reply : undefined)

/** An integer, such as the replies to DEL, PUBLISH and PEXPIRE. */
export const readInteger: ReadReply<number> = (reply) => (Number.isSafeInteger(reply) ? (reply as number) : undefined)

/** A lock: for how many milliseconds more it lasts, 0 where it was taken just now, and the token of its holder. */
export const readLock: ReadReply<{ readonly leftMs: number; readonly token: string }> = (reply) => {
  if (!Array.isArray(reply) || reply.length !== 2) return undefined
  const [leftMs, token] = reply as unknown[]
  return typeof leftMs === 'number' && leftMs >= 0 && typeof token === 'string' ? { leftMs, token } : undefined
}

/** The reply to a GET: bytes, or null where there is none. */
export const readValue: ReadReply<Buffer | null> = (reply) =>
  reply === null || Buffer.isBuffer(reply) ? reply : undefined

/** The reply to a GET as text; null where there is none. */
export const readText: ReadReply<{ readonly text: string | null }> = (reply) =>
  reply === null || typeof reply === 'string' ? { text: reply } : undefined

/** The reply to an HGETALL as text; empty where there is none. */
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

/** What appending to the shared log has come to. */
export interface Appended {
  /** The first record; '' where the log ends elsewhere. */
  readonly first: string
  /** That are connected. */
  readonly replicas: number
  /** Of those, that have all that there was before. */
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
  /** Of its first field; '' where it has none. */
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
