/**
 * Reads JSON (RFC 8259) and loses nothing of it that matters to a comparison: numbers keep their digits, and keys that come
 * twice are told.
 */
export type Json = null | boolean | string | JsonNumber | readonly Json[] | JsonObject

/** A number as it was written: a double would lose digits of some, and 1e400 altogether. */
export class JsonNumber {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

export class JsonObject {
  /** Of a key that comes twice, the last value: most readers take that. */
  readonly members = new Map<string, Json>()
  readonly repeated = new Set<string>()
}

export type JsonType = 'null' | 'boolean' | 'number' | 'string' | 'list' | 'object'

export function typeOf(value: Json): JsonType {
  if (value === null) return 'null'
  if (value instanceof JsonNumber) return 'number'
  if (value instanceof JsonObject) return 'object'
  return typeof value === 'string' ? 'string' : typeof value === 'boolean' ? 'boolean' : 'list'
}

/** Why a text is not read: it is no JSON, or beyond the bounds. */
export type JsonFault = 'not valid JSON' | 'nested too deeply' | 'too large'

export type JsonReading =
  | {
      readonly ok: true
      readonly value: Json
      /** The keys and indices that lead to the first key that comes twice. */
      readonly repeated: readonly (string | number)[] | null
    }
  | { readonly ok: false; readonly why: JsonFault }

/** Deeper texts are not read: the reader and the comparison call themselves once for each level. */
const DEEPEST = 200
/** Texts with more values are not read: a comparison needs memory for each. */
const MOST_VALUES = 200_000

/** Reads a text in time that grows with its length. */
export function readJson(text: string): JsonReading {
  try {
    const reader = new Reader(text)
    const value = reader.document()
    return { ok: true, value, repeated: reader.repeated }
  } catch (error) {
    if (error instanceof Fault) return { ok: false, why: error.why }
    throw error
  }
}

class Fault extends Error {
  readonly why: JsonFault

  constructor(why: JsonFault = 'not valid JSON') {
    super(why)
    this.why = why
  }
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const LITERAL = /true|false|null/y
const QUOTE = 0x22
const BACKSLASH = 0x5c

class Reader {
  readonly #text: string
  readonly #keys: (string | number)[] = []
  #at = 0
  #values = 0
  repeated: readonly (string | number)[] | null = null

  constructor(text: string) {
    this.#text = text
  }

  document(): Json {
    const value = this.#value()
    this.#space()
    if (this.#at < this.#text.length) throw new Fault()
    return value
  }

  #value(): Json {
    if (++this.#values > MOST_VALUES) throw new Fault('too large')
    this.#space()
    const first = this.#text[this.#at]
    if (first === '"') return this.#string()
    if (first === '{' || first === '[') {
      if (this.#keys.push(0) > DEEPEST) throw new Fault('nested too deeply')
      const value = first === '{' ? this.#object() : this.#list()
      this.#keys.pop()
      return value
    }
    if (first === 't' || first === 'f' || first === 'n') {
      const literal = this.#take(LITERAL)
      return literal === 'null' ? null : literal === 'true'
    }
    return new JsonNumber(this.#take(NUMBER))
  }

  #object(): JsonObject {
    const object = new JsonObject()
    this.#at++
    if (this.#next('}')) return object
    do {
      this.#space()
      if (this.#text[this.#at] !== '"') throw new Fault()
      const key = this.#string()
      this.#keys[this.#keys.length - 1] = key
      if (!this.#next(':')) throw new Fault()
      if (object.members.has(key)) {
        object.repeated.add(key)
        this.repeated ??= [...this.#keys]
      }
      object.members.set(key, this.#value())
    } while (this.#next(','))
    if (!this.#next('}')) throw new Fault()
    return object
  }

  #list(): Json[] {
    const list: Json[] = []
    this.#at++
    if (this.#next(']')) return list
    do {
      this.#keys[this.#keys.length - 1] = list.length
      list.push(this.#value())
    } while (this.#next(','))
    if (!this.#next(']')) throw new Fault()
    return list
  }

  #string(): string {
    const start = this.#at++
    let hasEscapes = false
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (code === QUOTE) break
      // NaN, at the end of the text, is not above 0x1f either.
      if (!(code > 0x1f)) throw new Fault()
      if (code === BACKSLASH) hasEscapes = true
      this.#at += code === BACKSLASH ? 2 : 1
    }
    this.#at++
    return hasEscapes ? unescaped(this.#text.slice(start, this.#at)) : this.#text.slice(start + 1, this.#at - 1)
  }

  #take(pattern: RegExp): string {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0]
    if (found === undefined) throw new Fault()
    this.#at += found.length
    return found
  }

  /** Whether the next character but white space is this one, which is then passed. */
  #next(character: string): boolean {
    this.#space()
    if (this.#text[this.#at] !== character) return false
    this.#at++
    return true
  }

  #space(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return
      this.#at++
    }
  }
}

function unescaped(quoted: string): string {
  try {
    return JSON.parse(quoted) as string
  } catch {
    throw new Fault()
  }
}

/** The value of a number as a text that is the same for all spellings of it: 1, 1.0 and 10e-1. */
export function exactly({ text }: JsonNumber): string {
  // Most are written in the shortest way already.
  if (/^-?[1-9]\d{0,14}$/.test(text)) return text
  const [, sign = '', whole = '', fraction = '', minus = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]\+?(-?)0*(\d+))?$/.exec(text) ?? []
  const digits = (whole + fraction).replace(/^0+/, '')
  if (digits === '') return '0'
  let end = digits.length
  // By hand: a pattern for zeros at the end takes quadratic time where they are not at the end.
  while (digits[end - 1] === '0') end--
  const significant = sign + digits.slice(0, end)
  // What no reader can tell apart from infinity or zero needs no arithmetic on its exponent.
  if (exponent.length > 15) return `${significant}e${minus}${exponent}.${fraction.length}`
  const power = Number(minus + exponent) - fraction.length + digits.length - end
  return power >= 0 && significant.length + power < 16 ? significant + '0'.repeat(power) : `${significant}e${power}`
}

/** Whether two numbers differ by no more than `tolerance` times the larger one. */
export function isWithin(tolerance: number, one: JsonNumber, other: JsonNumber): boolean {
  const [a, b] = [Number(one.text), Number(other.text)]
  const largest = Math.max(Math.abs(a), Math.abs(b))
  return largest > 0 && largest < Number.POSITIVE_INFINITY && Math.abs(a - b) <= tolerance * largest
}
