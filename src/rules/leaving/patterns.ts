/**
 * The conditions of a table as regular expressions of PCRE over bytes, as nginx and HAProxy have them. What a table says stands in
 * them as letters, digits or escapes only: no text of a table ends an expression, or means anything in one.
 */
import type { HostPattern } from '../patterns/host.ts'
import type { PathPattern } from '../patterns/path.ts'
import type { ValueTest } from '../patterns/value-test.ts'
import { bytesOf } from '../rewriting/placeholders.ts'

/** The text itself. */
export function literal(text: string): string {
  return bytesOf(text).replace(/[^A-Za-z0-9_/=:@-]/g, (one) => (one === '.' ? '\\.' : escaped(one)))
}

function escaped(byte: string): string {
  return `\\x${hexOf(byte)}`
}

function hexOf(byte: string): string {
  return byte.charCodeAt(0).toString(16).padStart(2, '0')
}

/**
 * Paths that a pattern matches, decoded and without the query. `\z` is the end, and `$` also before a final line feed.
 * @param captured the place of the `:name` among those of the path whose value is captured
 */
export function pathExpression({ segments, rest, reading }: PathPattern, captured = -1): string {
  const { ignoresCase, ignoresParameters, ignoresFinalSlash } = reading
  const parameters = ignoresParameters ? '(?:;[^/]*)?' : ''
  const one = ignoresParameters ? '[^/;]+' : '[^/]+'
  let param = 0
  const body = segments
    .map((text) => `/${text !== null ? literal(text) : param++ === captured ? `(${one})` : one}${parameters}`)
    .join('')
  const end = rest ? restEnd(body, ignoresFinalSlash) : finalEnd(segments, ignoresFinalSlash, parameters)
  return `${ignoresCase ? '(?i)' : ''}^${body}${end}`
}

function restEnd(body: string, ignoresFinalSlash: boolean): string {
  return ignoresFinalSlash && body !== '' ? '(?:/|\\z)' : '/'
}

function finalEnd(segments: PathPattern['segments'], ignoresFinalSlash: boolean, parameters: string): string {
  const isRoot = segments.length === 1 && segments[0] === ''
  return `${ignoresFinalSlash && !isRoot ? `(?:/${parameters})?` : ''}\\z`
}

/** Hosts in lower case, without port and trailing dot. For a pattern without a port. */
export function hostExpression({ name, wildcard }: HostPattern): string {
  return `^${wildcard ? '(?s:.+)' : ''}${literal(name)}\\z`
}

/** Hosts as a Host header has them. */
export function hostFieldExpression({ name, wildcard, port }: HostPattern): string {
  return `(?i)^${wildcard ? '(?s:.+)' : ''}${literal(name)}\\.?${port === '' ? '(?::[0-9]*)?' : `:${port}`}\\z`
}

/** What a test looks for in one value: `present` is any, and `absent` what has no match of `present`. */
type Part = { readonly prefix: string; readonly text: string; readonly ends: boolean }

function partsOf(test: ValueTest, encode: (text: string) => string): Part[] {
  switch (test.is) {
    case 'anyOf':
      return test.values.map((value) => ({ prefix: '', text: encode(value), ends: true }))
    case 'startsWith':
      return [{ prefix: '', text: encode(test.text), ends: false }]
    case 'contains':
      return [{ prefix: '*', text: encode(test.text), ends: false }]
    default:
      return []
  }
}

/** Values of a header that pass, one expression for each way. None for a test of presence. */
export function valueExpressions(test: ValueTest): string[] {
  return partsOf(test, literal).map(
    ({ prefix, text, ends }) => `${prefix === '' ? '^' : ''}${text}${ends ? '\\z' : ''}`,
  )
}

/**
 * Queries whose first parameter of a name passes, without the `?`. Each letter stands for its escape too: an application reads the
 * two alike.
 */
export function queryExpressions(name: string, test: ValueTest): string[] {
  const key = formEncodings(name)
  const first = `^(?:(?!${key}(?:=|&|\\z))[^&]*&)*${key}`
  if (test.is === 'present' || test.is === 'absent') return [`${first}(?:=|&|\\z)`]
  return partsOf(test, formEncodings).map(({ prefix, text, ends }) => {
    const value = `=${prefix === '' ? '' : '[^&]*'}${text}`
    if (!ends) return `${first}${value}`
    return `${first}${text === '' ? '=?' : value}(?:&|\\z)`
  })
}

/** A text as it may stand in a query: each byte as itself where it can, or as an escape. */
function formEncodings(text: string): string {
  return bytesOf(text).replace(/[\x00-\xff]/g, (byte) => {
    const encoded = `%${[...hexOf(byte)].map((digit) => (/[a-f]/.test(digit) ? `[${digit}${digit.toUpperCase()}]` : digit)).join('')}`
    if (byte === ' ') return `(?:\\+|${encoded})`
    return /[&=+%#\x00-\x20\x7f]/.test(byte) ? encoded : `(?:${literalByte(byte)}|${encoded})`
  })
}

function literalByte(byte: string): string {
  return /[A-Za-z0-9_-]/.test(byte) ? byte : byte === '.' ? '\\.' : escaped(byte)
}

/** Cookie headers whose first cookie of a name passes. */
export function cookieExpressions(name: string, test: ValueTest): string[] {
  const key = `[ \\t]*${literal(name)}[ \\t]*=`
  const first = `^(?:(?!${key})[^;]*;)*${key}[ \\t]*`
  if (test.is === 'present' || test.is === 'absent') return [first]
  return partsOf(test, literal).map(
    ({ prefix, text, ends }) => `${first}${prefix === '' ? '' : '[^;]*'}${text}${ends ? '[ \\t]*(?:;|\\z)' : ''}`,
  )
}
