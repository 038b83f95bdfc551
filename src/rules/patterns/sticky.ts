/**
 * The sources of a sticky key: one entry per kind, with its syntax and how to read it.
 */
import { type RequestView, UNIX_PEER } from '../http/exchange.ts'
import { nearestWord } from '../values/problem.ts'
import { TOKEN } from '../values/schema-blocks.ts'
import type { Flaw } from '../values/units.ts'
import { claimOf } from './jwt.ts'
import { cookieValue, headerValue, queryValue } from './request-parts.ts'

/** A compiled source of the sticky key. */
export interface StickySource {
  /** As the table writes it: `cookie:sid`, `ip`. */
  readonly text: string
  readonly kind: StickyKind
  /** Values that are no key, besides the empty one. */
  readonly ignored: readonly string[]
  /**
   * The key, or undefined if the request has none. `params` are the values of the path's `:name`s in order.
   * May be the empty string: use `keyOf`.
   */
  read(view: RequestView, params: readonly string[]): string | undefined
}

/** One kind of source: how its name is checked (null if it takes none), and how it is read. */
interface StickyEntry {
  /** Why the name after the colon is invalid, or null. `params` are the `:name`s of the route's path. */
  readonly flawOfName: ((name: string, params: readonly string[]) => Flaw | null) | null
  /** Returns the reader for one name. */
  compile(name: string, params: readonly string[]): StickySource['read']
}

const ENTRIES = {
  cookie: {
    flawOfName: flawOfToken,
    compile: (name) => (view) => cookieValue(view.rawHeaders, name),
  },
  header: {
    flawOfName: flawOfToken,
    compile: (name) => {
      const field = name.toLowerCase()
      return (view) => headerValue(view.rawHeaders, field)
    },
  },
  query: {
    flawOfName: () => null,
    compile: (name) => (view) => queryValue(view.target, name),
  },
  param: {
    flawOfName: flawOfParam,
    compile: (name, params) => {
      const at = params.indexOf(name)
      return (_view, values) => values[at]
    },
  },
  jwt: {
    flawOfName: () => null,
    compile: (name) => (view) => claimOf(headerValue(view.rawHeaders, 'authorization'), name),
  },
  ip: {
    flawOfName: null,
    // Whoever comes through a Unix socket has no address.
    compile: () => (view) => (view.clientAddress === UNIX_PEER ? undefined : view.clientAddress),
  },
  visitor: {
    flawOfName: null,
    compile: () => (view) => view.visitor,
  },
  request: {
    flawOfName: null,
    compile: () => () => undefined,
  },
} as const satisfies Record<string, StickyEntry>

/** The kinds of sticky sources. `visitor` gives a key to each browser without one. `request` is not a key but ends the chain: each request is drawn independently. */
export type StickyKind = keyof typeof ENTRIES

/** The forms that `sticky` takes, for messages. */
export const STICKY_FORMS = Object.entries(ENTRIES).map(([kind, entry]) => (entry.flawOfName ? `${kind}:NAME` : kind))

/**
 * Parses one source, such as `cookie:sid`.
 * @param params the `:name`s of the route's path in order
 * @param ignored values that are no key
 */
export function parseSticky(
  text: string,
  params: readonly string[],
  ignored: readonly string[] = [],
): StickySource | Flaw {
  const colon = text.indexOf(':')
  const kind = colon === -1 ? text : text.slice(0, colon)
  if (!Object.hasOwn(ENTRIES, kind)) return unknownKind(text, kind)
  const entry: StickyEntry = ENTRIES[kind as StickyKind]
  const name = colon === -1 ? null : text.slice(colon + 1)
  if (entry.flawOfName === null) {
    if (name !== null) return { message: `${kind} takes no name`, hint: `write ${kind}` }
  } else {
    if (name === null || name === '') return { message: `${kind} needs a name`, hint: `write ${kind}:NAME` }
    const flaw = entry.flawOfName(name, params)
    if (flaw) return flaw
  }
  const read = entry.compile(name ?? '', params)
  const reading = ignored.length === 0 ? read : without(new Set(ignored), read)
  return { text, kind: kind as StickyKind, ignored, read: reading }
}

function without(ignored: ReadonlySet<string>, read: StickySource['read']): StickySource['read'] {
  return (view, params) => {
    const key = read(view, params)
    return key === undefined || ignored.has(key) ? undefined : key
  }
}

function unknownKind(text: string, kind: string): Flaw {
  const message = `unknown sticky key ${JSON.stringify(text)}: must be one of ${STICKY_FORMS.join(', ')}`
  const [, other = '', name] = /^([a-z]+)[=. ]+([^\s=]+)$/.exec(text) ?? []
  if (name !== undefined && Object.hasOwn(ENTRIES, other)) return { message, hint: `write ${other}:${name}` }
  const nearest = nearestWord(kind, Object.keys(ENTRIES))
  return nearest === undefined
    ? { message }
    : { message, hint: `did you mean \`${nearest}${text.slice(kind.length)}\`?` }
}

/** The key that a source finds in a request, or undefined. An empty value counts as missing. */
export function keyOf(source: StickySource, view: RequestView, params: readonly string[]): string | undefined {
  return source.read(view, params) || undefined
}

function flawOfToken(name: string): Flaw | null {
  return TOKEN.test(name)
    ? null
    : { message: `invalid name ${JSON.stringify(name)}: must be a token (RFC 9110 section 5.6.2)` }
}

function flawOfParam(name: string, params: readonly string[]): Flaw | null {
  if (params.includes(name)) return null
  if (params.length === 0) return { message: `the route's path has no parameter :${name}, nor any other` }
  return {
    message: `the route's path has no parameter :${name}`,
    hint: `it has ${params.map((param) => `:${param}`).join(', ')}`,
  }
}
