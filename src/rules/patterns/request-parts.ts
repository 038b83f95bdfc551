/**
 * The parts of a request that rules can refer to: headers, query parameters, cookies, the host.
 */
import { fieldValues } from '../http/exchange.ts'
import { withoutBlanks } from '../values/blanks.ts'

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * The value of a header field, or undefined where it is absent. `name` is in lower case.
 * Several lines of one field are one value, joined by a comma and a space (RFC 9110 section 5.3). White space around it
 * is dropped; bytes beyond ASCII are read as UTF-8, or as Latin-1 where they are not UTF-8.
 */
export function headerValue(rawHeaders: readonly string[], name: string): string | undefined {
  let value: string | undefined
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const field = rawHeaders[i] as string
    if (field.length !== name.length || field.toLowerCase() !== name) continue
    const line = rawHeaders[i + 1] as string
    value = value === undefined ? line : `${value}, ${line}`
  }
  return value === undefined ? undefined : textOf(withoutBlanks(value))
}

/**
 * The value of a query parameter, or undefined where it is absent; `?a` and `?a=` are both empty. `name` is decoded.
 * Names and values are read as HTML forms write them: `+` is a space, escapes are percent-encoded UTF-8, and an invalid
 * escape stands for itself. The first one of several wins.
 */
export function queryValue(target: string, name: string): string | undefined {
  const mark = target.indexOf('?')
  if (mark === -1) return undefined
  const fragment = target.indexOf('#', mark)
  const query = target.slice(mark + 1, fragment === -1 ? undefined : fragment)
  for (const pair of query.split('&')) {
    const equals = pair.indexOf('=')
    const key = equals === -1 ? pair : pair.slice(0, equals)
    if (pair !== '' && formText(key) === name) return equals === -1 ? '' : formText(pair.slice(equals + 1))
  }
  return undefined
}

/**
 * The value of a cookie, or undefined where it is absent. `name` is case-sensitive.
 * Cookies are read as RFC 6265 section 4.2 writes them, leniently: white space around names and values is dropped, quotes
 * stay part of the value, pairs without `=` are skipped, several Cookie lines are read in order, the first one wins.
 */
export function cookieValue(rawHeaders: readonly string[], name: string): string | undefined {
  for (const line of fieldValues(rawHeaders, 'cookie')) {
    for (let start = 0; start < line.length; ) {
      const semicolon = line.indexOf(';', start)
      const end = semicolon === -1 ? line.length : semicolon
      const equals = line.indexOf('=', start)
      if (equals !== -1 && equals < end && withoutBlanks(line.slice(start, equals)) === name) {
        return textOf(withoutBlanks(line.slice(equals + 1, end)))
      }
      start = end + 1
    }
  }
  return undefined
}

/** A host as it is matched: lower case, without its trailing dot, the port apart ('' where there is none). */
export interface HostAndPort {
  readonly name: string
  readonly port: string
}

/** Splits `example.test:8080`, `[::1]:8080` or `example.test.`, given in lower case. */
export function splitHost(host: string): HostAndPort {
  const colon = host.lastIndexOf(':')
  const hasPort = colon > host.lastIndexOf(']') && colon === host.indexOf(':', host.startsWith('[') ? colon : 0)
  const name = hasPort ? host.slice(0, colon) : host
  return { name: name.endsWith('.') ? name.slice(0, -1) : name, port: hasPort ? host.slice(colon + 1) : '' }
}

/** A Latin-1 string of field bytes as text: UTF-8 where the bytes are valid UTF-8, else as it is. */
function textOf(bytes: string): string {
  if (!/[^\x00-\x7f]/.test(bytes)) return bytes
  try {
    return strictUtf8.decode(Uint8Array.from(bytes, (byte) => byte.charCodeAt(0)))
  } catch {
    return bytes
  }
}

function formText(text: string): string {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text
  if (!spaced.includes('%')) return spaced
  try {
    return decodeURIComponent(spaced)
  } catch {
    return spaced
  }
}

/**
 * The decoded name of a raw `name=value`: an escaped letter must not smuggle a parameter past a rule that the application
 * would apply to it.
 */
export function parameterName(pair: string): string {
  const equals = pair.indexOf('=')
  const name = (equals === -1 ? pair : pair.slice(0, equals)).replaceAll('+', ' ')
  return Buffer.from(bytesOfEscapes(name), 'latin1').toString('utf8')
}

/** A text with its percent-encoded bytes as Latin-1 characters; what is no escape stays. */
export function bytesOfEscapes(text: string): string {
  if (!text.includes('%')) return text
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
}
