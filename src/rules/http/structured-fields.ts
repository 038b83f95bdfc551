/**
 * Structured Fields (RFC 9651, which takes in RFC 8941): dictionaries read strictly, items with parameters written.
 */

/** One bare item (RFC 9651 section 3.3). Byte sequences are Latin-1 strings; dates are epoch seconds. */
export type BareItem =
  | { readonly type: 'integer' | 'decimal' | 'date'; readonly value: number }
  | { readonly type: 'string' | 'token' | 'bytes' | 'display'; readonly value: string }
  | { readonly type: 'boolean'; readonly value: boolean }

/** Parameters in the order received; the last one of a name counts (RFC 9651 section 3.1.2). */
export type Parameters = ReadonlyMap<string, BareItem>

/** A member of a dictionary: an item, or an inner list of items. */
export type Member =
  | { readonly kind: 'item'; readonly item: BareItem; readonly parameters: Parameters }
  | { readonly kind: 'list'; readonly items: readonly Member[]; readonly parameters: Parameters }

/** A dictionary (RFC 9651 section 3.2); the last one of a key counts. */
export type Dictionary = ReadonlyMap<string, Member>

/** Thrown inside this file to leave a nested reader; never leaves it. */
class Broken extends Error {}

/**
 * Reads the lines of one field as a dictionary, as RFC 9651 section 4.2 does: all lines joined by commas, and null as soon
 * as one byte is out of place. An empty field is an empty dictionary.
 */
export function parseDictionary(lines: readonly string[]): Dictionary | null {
  try {
    return new Reader(lines.join(', ')).dictionary()
  } catch (error) {
    if (error instanceof Broken) return null
    throw error
  }
}

const TRUE: BareItem = { type: 'boolean', value: true }
const NO_PARAMETERS: Parameters = new Map()

const KEY = /[a-z*][a-z0-9_.*-]*/y
const NUMBER = /-?[0-9]+(?:\.[0-9]+)?/y
const TOKEN = /[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*/y
const STRING = /"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"/y
const BYTES = /:([A-Za-z0-9+/]*={0,2}):/y
const BOOLEAN = /\?([01])/y
const DATE = /@(-?[0-9]{1,15})(?![0-9.])/y
const DISPLAY = /%"((?:[\x20-\x21\x23\x24\x26-\x7e]|%[0-9a-f]{2})*)"/y

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

class Reader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  dictionary(): Dictionary {
    const members = new Map<string, Member>()
    this.#skip(' ')
    while (this.#at < this.#text.length) {
      const key = this.#key()
      const member = this.#take('=') ? this.#member() : this.#item(TRUE)
      // A repeated key moves to the place of its last member.
      members.delete(key)
      members.set(key, member)
      this.#skip(' \t')
      if (this.#at === this.#text.length) break
      if (!this.#take(',')) throw new Broken()
      this.#skip(' \t')
      if (this.#at === this.#text.length) throw new Broken()
    }
    return members
  }

  #member(): Member {
    return this.#text[this.#at] === '(' ? this.#innerList() : this.#item(this.#bareItem())
  }

  #item(item: BareItem): Member {
    return { kind: 'item', item, parameters: this.#parameters() }
  }

  #innerList(): Member {
    this.#at++
    const items: Member[] = []
    for (;;) {
      this.#skip(' ')
      if (this.#take(')')) return { kind: 'list', items, parameters: this.#parameters() }
      items.push(this.#item(this.#bareItem()))
      const next = this.#text[this.#at]
      if (next !== ' ' && next !== ')') throw new Broken()
    }
  }

  #parameters(): Parameters {
    if (this.#text[this.#at] !== ';') return NO_PARAMETERS
    const parameters = new Map<string, BareItem>()
    while (this.#take(';')) {
      this.#skip(' ')
      const key = this.#key()
      const value = this.#take('=') ? this.#bareItem() : TRUE
      parameters.delete(key)
      parameters.set(key, value)
    }
    return parameters
  }

  #bareItem(): BareItem {
    const first = this.#text[this.#at] ?? ''
    switch (first) {
      case '"':
        return { type: 'string', value: (this.#match(STRING)[1] as string).replace(/\\(.)/g, '$1') }
      case ':':
        return { type: 'bytes', value: bytesOf(this.#match(BYTES)[1] as string) }
      case '?':
        return { type: 'boolean', value: this.#match(BOOLEAN)[1] === '1' }
      case '@':
        return { type: 'date', value: Number(this.#match(DATE)[1]) }
      case '%':
        return { type: 'display', value: displayText(this.#match(DISPLAY)[1] as string) }
    }
    return /[-0-9]/.test(first) ? this.#number() : { type: 'token', value: this.#match(TOKEN)[0] }
  }

  #number(): BareItem {
    const text = this.#match(NUMBER)[0]
    const [whole, fraction] = text.replace('-', '').split('.') as [string, string | undefined]
    if (fraction === undefined) {
      // A dot without digits after it is no number (RFC 9651 section 4.2.4).
      if (whole.length > 15 || this.#text[this.#at] === '.') throw new Broken()
      return { type: 'integer', value: Number(text) }
    }
    if (whole.length > 12 || fraction.length > 3) throw new Broken()
    return { type: 'decimal', value: Number(text) }
  }

  #key(): string {
    return this.#match(KEY)[0]
  }

  #match(pattern: RegExp): RegExpExecArray {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)
    if (!found) throw new Broken()
    this.#at = pattern.lastIndex
    return found
  }

  #take(char: string): boolean {
    if (this.#text[this.#at] !== char) return false
    this.#at++
    return true
  }

  #skip(chars: string): void {
    while (this.#at < this.#text.length && chars.includes(this.#text[this.#at] as string)) this.#at++
  }
}

function bytesOf(base64: string): string {
  try {
    return atob(base64)
  } catch {
    throw new Broken()
  }
}

function displayText(escaped: string): string {
  const bytes: number[] = []
  for (let i = 0; i < escaped.length; i++) {
    if (escaped[i] === '%') {
      bytes.push(Number.parseInt(escaped.slice(i + 1, i + 3), 16))
      i += 2
    } else {
      bytes.push(escaped.charCodeAt(i))
    }
  }
  try {
    return strictUtf8.decode(Uint8Array.from(bytes))
  } catch {
    throw new Broken()
  }
}

/** What a parameter may be written as: true stands alone, numbers are whole, strings are quoted, tokens are not. */
export type WrittenValue = boolean | number | string | { readonly token: string }

const LARGEST_INTEGER = 999_999_999_999_999

/**
 * Writes a token with parameters (RFC 9651 section 4.1): `banyan;hit;ttl=30`. Parameters that are false or undefined are
 * left out, numbers are rounded down and kept within 15 digits, and what a String can't hold is percent-encoded.
 */
export function writeItem(token: string, parameters: Readonly<Record<string, WrittenValue | undefined>>): string {
  let text = token
  for (const [key, value] of Object.entries(parameters)) {
    if (value === undefined || value === false) continue
    text += value === true ? `;${key}` : `;${key}=${writeValue(value)}`
  }
  return text
}

function writeValue(value: number | string | { readonly token: string }): string {
  if (typeof value === 'object') return value.token
  if (typeof value === 'number') {
    return String(Math.min(Math.max(Math.floor(value), -LARGEST_INTEGER), LARGEST_INTEGER))
  }
  const ascii = /[^\x20-\x7e]/.test(value) ? value.replace(/[^\x20-\x7e]/gu, percentEncoded) : value
  return `"${ascii.replace(/["\\]/g, '\\$&')}"`
}

const utf8 = new TextEncoder()

/** Latin-1 characters stand for the bytes received, so each is one escape; anything beyond is text, and goes as UTF-8. */
function percentEncoded(char: string): string {
  const code = char.codePointAt(0) as number
  const bytes = code < 0x100 ? [code] : [...utf8.encode(char)]
  return bytes.map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('')
}
