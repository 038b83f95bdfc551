/**
 * The static table of HPACK (RFC 7541 appendix A), and the size of table entries (section 4.1).
 */

/** Fields by index, from 1: a name, or a name and its value. */
const STATIC = [
  ...['', ':authority', ':method GET', ':method POST', ':path /', ':path /index.html', ':scheme http', ':scheme https'],
  ...[':status 200', ':status 204', ':status 206', ':status 304', ':status 400', ':status 404', ':status 500'],
  ...['accept-charset', 'accept-encoding gzip, deflate', 'accept-language', 'accept-ranges', 'accept'],
  ...['access-control-allow-origin', 'age', 'allow', 'authorization', 'cache-control', 'content-disposition'],
  ...['content-encoding', 'content-language', 'content-length', 'content-location', 'content-range', 'content-type'],
  ...['cookie', 'date', 'etag', 'expect', 'expires', 'from', 'host', 'if-match', 'if-modified-since', 'if-none-match'],
  ...['if-range', 'if-unmodified-since', 'last-modified', 'link', 'location', 'max-forwards', 'proxy-authenticate'],
  ...['proxy-authorization', 'range', 'referer', 'refresh', 'retry-after', 'server', 'set-cookie'],
  ...['strict-transport-security', 'transfer-encoding', 'user-agent', 'vary', 'via', 'www-authenticate'],
]

export const STATIC_NAMES: readonly string[] = STATIC.map((field) => field.split(' ')[0] as string)
export const STATIC_VALUES: readonly string[] = STATIC.map((field) =>
  field.slice(field.indexOf(' ') + 1 || field.length),
)

/** The index of the first entry of the dynamic table. */
export const FIRST_DYNAMIC = STATIC.length

/** The default size of the dynamic table in bytes (RFC 9113 section 6.5.2). */
export const DEFAULT_TABLE_BYTES = 4096

/** The bytes that an entry takes besides its name and value. */
export const ENTRY_OVERHEAD = 32

const BUCKETS = 128

/** A cheap hash of a name. A Map would have to hash the whole of each new string. */
export function hashOfName(name: string): number {
  const length = name.length
  if (length === 0) return 0
  return (
    (length * 37 + name.charCodeAt(0) * 5 + name.charCodeAt(length >> 1) * 11 + name.charCodeAt(length - 1) * 3) | 0
  )
}

/** The first static entry by hash of its name, and for each entry the next one with the same hash. */
const FIRST = new Uint8Array(BUCKETS)
const NEXT = new Uint8Array(FIRST_DYNAMIC)
for (let index = FIRST_DYNAMIC - 1; index > 0; index--) {
  const name = STATIC_NAMES[index] as string
  const bucket = hashOfName(name) & (BUCKETS - 1)
  NEXT[index] = FIRST[bucket] as number
  FIRST[bucket] = index
}

/** The first static entry with this name, whose hash is `hash`; 0 for none. */
export function staticIndexOf(name: string, hash: number): number {
  let index = FIRST[hash & (BUCKETS - 1)] as number
  while (index !== 0 && STATIC_NAMES[index] !== name) index = NEXT[index] as number
  return index
}
