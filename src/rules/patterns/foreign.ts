/**
 * Path patterns in the syntax of other routers: detects them, and suggests the equivalent in banyan's syntax.
 */

/** What may stand unescaped in a path (RFC 3986 section 3.3), and characters beyond ASCII, which a table may write as they are. */
const STRAY = /[^!$%&'()*+,./0-9:;=@A-Z_a-z~\u0080-\u{10ffff}-]/u

/**
 * What is another router's in a pattern: its text, or null where there is none. A path that says so literally has it
 * percent-encoded.
 */
export function foreignPart(pattern: string): string | null {
  const anchor = /^(?:\^|~\*?\s|=\s)|\$$/.exec(pattern)
  if (anchor !== null && pattern !== '/$') return anchor[0].trim()
  const parts = split(pattern)
  for (const [at, part] of parts.entries()) {
    if (STRAY.test(part) || isGroup(part) || /^\$/.test(part)) return part
    if (part.startsWith(':') && !/^:[A-Za-z_]\w*$/.test(part)) return part
    if (part.includes('*') && !(part === '*' && at === parts.length - 1)) return part
    if (/^\.\+$/.test(part)) return part
  }
  return null
}

/** Round brackets are characters like any other, but for those of an expression: around a segment or more, or with one in them. */
function isGroup(part: string): boolean {
  const opened = part.split('(').length
  return /^\(.*\)$|\(\?|\)[?+*]|\//.test(part) || opened !== part.split(')').length || /\([^()]*[.+*][+*?)]/.test(part)
}

/** The segments of a pattern; a slash within brackets separates nothing. */
function split(pattern: string): string[] {
  const parts: string[] = ['']
  let depth = 0
  for (const character of pattern.replace(/^\//, '')) {
    if ('([{<'.includes(character)) depth++
    else if (')]}>'.includes(character)) depth--
    if (character === '/' && depth <= 0) parts.push('')
    else parts[parts.length - 1] += character
  }
  return parts
}

/** No more patterns than these are suggested for one. */
const MOST = 6

/**
 * The patterns that mean what another router's pattern means, or come close: a pattern has no expressions. They are well-formed
 * but for what the pattern had wrong besides; empty where there would be too many, or more segments than a pattern may have.
 */
export function ownPatterns(pattern: string, maxSegments: number): string[] {
  // An expression that may begin anywhere.
  if (/^\s*~\*?\s+[^^/]/.test(pattern)) return []
  const bare = pattern
    .replace(/^\s*\^~\s+(.*?)\/?$/, '$1/*')
    .replace(/^\s*(?:~\*?|=)(?:\s+|(?=\/))/, '')
    .replace(/^\^/, '')
    .replace(/(?:\/\?)?\$$/, '')
    .replace(/^[a-z]+:\/\/[^/]*/i, '')
    .replaceAll(/\\([/.-])/g, '$1')
    .replaceAll(/[({]\/(:\w+)[)}]\??/g, '/$1?')
  const parts = split(bare)
  if (parts.length > maxSegments) return []
  const names = new Set<string>()
  let all: string[] = ['']
  for (const [at, part] of parts.entries()) {
    const { forms, rest } = formsOf(part, at === parts.length - 1, names)
    all = all.flatMap((before) => forms.map((form) => (form === null ? before : `${before}/${form}`)))
    if (all.length > MOST) return []
    // Nothing can follow the rest.
    if (rest) break
  }
  return all.map((text) => text || '/')
}

/** A segment in banyan's forms; null for one that may be absent. */
interface Forms {
  readonly forms: readonly (string | null)[]
  /** It takes all that follows too. */
  readonly rest: boolean
}

/** `{id}`, `{id:[0-9]+}`, `<int:id>`, `[id]`, `:id(\d+)`, `(?<id>\d+)`, `$id`: the name that a parameter has. */
const NAMED = [
  /\(\?P?<([A-Za-z_]\w*)>/,
  /\{[+*]*([A-Za-z_]\w*)/,
  /<(?:[a-z]+(?:\([^()]*\))?:)?([A-Za-z_]\w*)(?:\.\.)?>/,
  /^\[+(?:\.{3})?([A-Za-z_]\w*)\]+$/,
  /:([A-Za-z_]\w*)/,
  /^\$([A-Za-z_]\w*)/,
]
/** What takes any number of segments in other routers. */
const ANY_NUMBER =
  /^\*\*$|^\*\w+$|^\{\*+\w+\}$|^\{\w+(?:\*|\.{3}|:path|:\.[*+])\}$|^<path:\w+>$|^<\w+\.\.>$|^\[+\.{3}\w+\]+$|^:\w+[*+]$|^:\w+\(\.[*+]\)$|^\(?(?:\?P?<\w+>)?\.[*+]\)?$|^\$\*?$/

function formsOf(part: string, last: boolean, names: Set<string>): Forms {
  if (ANY_NUMBER.test(part)) return { forms: ['*'], rest: true }
  if (part === '*') return { forms: [last ? '*' : nameOf(part, names)], rest: last }
  if (last && /^[\w.~-]+\*+$/.test(part))
    return { forms: [part.replace(/\*+$/, ''), `${part.replace(/\*+$/, '')}/*`], rest: true }
  const listed = /^\((?:\?:)?([\w.~-]+(?:\|[\w.~-]+)*)\)(\?)?$/.exec(part)
  if (listed !== null) {
    const words = (listed[1] as string).split('|')
    return { forms: listed[2] === undefined ? words : [null, ...words], rest: false }
  }
  const optional = /^:\w+\?$|^\{\w+\?\}$|^\[\[\w+\]\]$/.test(part)
  if (foreignPart(`/${part}/`) === null) {
    if (part.startsWith(':')) names.add(part.slice(1))
    return { forms: [part], rest: false }
  }
  // Characters that are only not encoded say nothing of an expression.
  if (/^[^()[\]{}<>*:$\\^+?|]+$/.test(part)) return { forms: [encodeURI(decoded(part))], rest: false }
  const name = nameOf(part, names)
  return { forms: optional ? [null, name] : [name], rest: false }
}

function decoded(part: string): string {
  try {
    return decodeURI(part)
  } catch {
    return part
  }
}

function nameOf(part: string, names: Set<string>): string {
  const said = NAMED.map((form) => form.exec(part)?.[1]).find((found) => found !== undefined) ?? 'id'
  let name = said
  for (let n = 2; names.has(name); n++) name = `${said}${n}`
  names.add(name)
  return `:${name}`
}

/** A text as it is written in a pattern where it is meant literally. */
export function literally(text: string): string {
  return encodeURIComponent(text).replaceAll(/[*()]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`)
}
