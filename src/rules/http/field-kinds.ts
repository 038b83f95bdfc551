/**
 * What each field is to a proxy: told by its name alone, fast enough to be asked of every field of every message.
 */

/**
 * What a field is to a proxy. `connection` to `alt-svc` are hop-by-hop and dropped (the set of LESSONS, from RFC 9110
 * section 7.6.1 and the registry); the rest needs a look of its own.
 */
export type FieldKind =
  | 'end-to-end'
  | 'hop-by-hop'
  | 'connection'
  | 'te'
  | 'trailer'
  | 'transfer-encoding'
  | 'upgrade'
  | 'content-length'
  | 'disguised'
  | 'host'
  | 'expect'
  | 'authorization'
  | 'forwarded'
  | 'forwarded-for'
  | 'forwarded-proto'
  | 'forwarded-host'
  | 'forwarded-port'
  | 'max-forwards'
  | 'cdn-loop'
  | 'banyan'

const KINDS: ReadonlyMap<string, FieldKind> = new Map<string, FieldKind>([
  ['connection', 'connection'],
  ['keep-alive', 'hop-by-hop'],
  ['proxy-connection', 'hop-by-hop'],
  ['proxy-authenticate', 'hop-by-hop'],
  ['proxy-authentication-info', 'hop-by-hop'],
  ['proxy-authorization', 'hop-by-hop'],
  ['http2-settings', 'hop-by-hop'],
  ['alpn', 'hop-by-hop'],
  ['alt-svc', 'hop-by-hop'],
  ['te', 'te'],
  ['trailer', 'trailer'],
  ['transfer-encoding', 'transfer-encoding'],
  ['upgrade', 'upgrade'],
  ['content-length', 'content-length'],
  ['host', 'host'],
  ['expect', 'expect'],
  ['authorization', 'authorization'],
  ['forwarded', 'forwarded'],
  ['x-forwarded', 'forwarded'],
  ['x-forwarded-for', 'forwarded-for'],
  ['x-forwarded-proto', 'forwarded-proto'],
  ['x-forwarded-host', 'forwarded-host'],
  ['x-forwarded-port', 'forwarded-port'],
  // What else says who the client is: set by proxies and CDNs for the application behind them.
  ['x-real-ip', 'forwarded'],
  ['x-client-ip', 'forwarded'],
  ['client-ip', 'forwarded'],
  ['true-client-ip', 'forwarded'],
  ['x-cluster-client-ip', 'forwarded'],
  ['fastly-client-ip', 'forwarded'],
  ['cf-connecting-ip', 'forwarded'],
  ['cf-connecting-ipv6', 'forwarded'],
  ['cdn-loop', 'cdn-loop'],
  ['max-forwards', 'max-forwards'],
  ['banyan-upstream', 'banyan'],
  ['banyan-force', 'banyan'],
  ['banyan-shadow', 'banyan'],
])

/** The same by the spelling that most have. */
const SPELLED: ReadonlyMap<string, FieldKind> = new Map(
  [...KINDS].flatMap(([name, kind]) => [
    [name, kind],
    [name.replace(/\b[a-z]/g, (letter) => letter.toUpperCase()), kind],
  ]),
)

const FORWARDED_PREFIX = 'x-forwarded-'

/**
 * By length of name, the first letters that a known name of that length has, one bit each. Most fields are told end-to-end
 * by a look here, without a lower-case copy of their name.
 */
const FIRST_LETTERS = new Int32Array(64)
for (const name of KINDS.keys()) FIRST_LETTERS[name.length]! |= letterBit(name)
for (let length = FORWARDED_PREFIX.length + 1; length < FIRST_LETTERS.length; length++) {
  FIRST_LETTERS[length]! |= letterBit(FORWARDED_PREFIX)
}

function letterBit(name: string): number {
  // Bit 5 lowers a letter; what is none may share a letter's bit, and is then told apart by the whole name.
  return 1 << ((name.charCodeAt(0) | 32) - 97)
}

/** The kind of a field, by its name in any case. */
export function kindOf(name: string): FieldKind {
  const { length } = name
  if (length < 64 && (FIRST_LETTERS[length]! & letterBit(name)) === 0) return 'end-to-end'
  const known = SPELLED.get(name)
  if (known !== undefined) return known
  const lower = name.toLowerCase()
  const kind = KINDS.get(lower)
  if (kind !== undefined) return kind
  return /^[a-z0-9-]*$/.test(lower) ? prefixKind(lower) : lookalikeKind(lower.replace(/[^a-z0-9]/g, '-'))
}

function prefixKind(lower: string): FieldKind {
  return lower.startsWith(FORWARDED_PREFIX) ? 'forwarded' : 'end-to-end'
}

/**
 * The kind of a name in another spelling (`X_Forwarded_For`, `Content.Length`): CGI and its heirs (RFC 3875 section 4.1.18)
 * can't tell it from the one with dashes.
 * @param dashed the name in lower case, with a dash for whatever is no letter or digit
 */
function lookalikeKind(dashed: string): FieldKind {
  const kind = KINDS.get(dashed) ?? prefixKind(dashed)
  switch (kind) {
    case 'content-length':
    case 'transfer-encoding':
      return 'disguised'
    case 'forwarded':
    case 'forwarded-for':
    case 'forwarded-proto':
    case 'forwarded-host':
    case 'forwarded-port':
      return 'forwarded'
    case 'banyan':
      return 'banyan'
    default:
      return 'end-to-end'
  }
}

const OF_CONNECTION: ReadonlySet<FieldKind> = new Set([
  'connection',
  'hop-by-hop',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** Whether a field belongs to the one connection it came over (RFC 9110 section 7.6.1), by its name in any case. */
export function isOfConnection(name: string): boolean {
  return OF_CONNECTION.has(kindOf(name))
}
