/**
 * A strict JSON parser (RFC 8259) that reports line and column of errors; duplicate names are errors.
 *
 * JSON.parse gives no position for short texts, and of `{"percent": 5, "percent": 50}` it silently takes the last: which
 * percent was meant is not for a parser to choose.
 */

/** Invalid JSON. `line` and `column` count from 1; the column in UTF-16 code units. */
export class JsonFault extends Error {
  readonly line: number
  readonly column: number
  constructor(message: string, text: string, offset: number) {
    super(message)
    const before = text.slice(0, offset).split(/\r\n|\n|\r/)
    this.line = before.length
    this.column = (before.at(-1) as string).length + 1
  }
}

/** Deeper than any body of the API, and far from the end of the stack. */
const MAX_DEPTH = 64

const SPACE = /[ \t\n\r]*/y
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
const STRING = /"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*"/y
const WORD = /true|false|null/y
const WORDS: Readonly<Record<string, unknown>> = { true: true, false: false, null: null }

/**
 * Reads a JSON text. Objects have no prototype, so that `__proto__` is a name like any other.
 * @throws {JsonFault} the first error, with its position
 */
export function parseJson(text: string): unknown {
  const reader = new Reader(text)
  const value = reader.value(0)
  reader.end()
  return value
}

class Reader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  value(depth: number): unknown {
    this.#take(SPACE)
    if (depth > MAX_DEPTH) throw this.#fault(`nested deeper than ${MAX_DEPTH} levels`)
    const first = this.#text[this.#at]
    if (first === '{') return this.#object(depth)
    if (first === '[') return this.#array(depth)
    if (first === '"') return this.#string()
    const word = this.#take(WORD)
    if (word !== '') return WORDS[word]
    const number = this.#take(NUMBER)
    if (number === '') throw this.#fault('expected a value')
    return Number(number)
  }

  end(): void {
    this.#take(SPACE)
    if (this.#at < this.#text.length) throw this.#fault('expected end of input')
  }

  #object(depth: number): Record<string, unknown> {
    const object: Record<string, unknown> = Object.create(null)
    this.#at++
    if (this.#took('}')) return object
    do {
      this.#take(SPACE)
      if (this.#text[this.#at] !== '"') throw this.#fault('expected a name in double quotes')
      const start = this.#at
      const name = this.#string()
      if (Object.hasOwn(object, name)) throw this.#fault(`duplicate name ${JSON.stringify(name)}`, start)
      if (!this.#took(':')) throw this.#fault("expected ':'")
      object[name] = this.value(depth + 1)
    } while (this.#took(','))
    if (!this.#took('}')) throw this.#fault("expected ',' or '}'")
    return object
  }

  #array(depth: number): unknown[] {
    const array: unknown[] = []
    this.#at++
    if (this.#took(']')) return array
    do array.push(this.value(depth + 1))
    while (this.#took(','))
    if (!this.#took(']')) throw this.#fault("expected ',' or ']'")
    return array
  }

  #string(): string {
    const quoted = this.#take(STRING)
    if (quoted === '') throw this.#fault('unterminated string, invalid escape or control character')
    return JSON.parse(quoted) as string
  }

  /** Skips white space and then this character, if it is there. */
  #took(character: string): boolean {
    this.#take(SPACE)
    if (this.#text[this.#at] !== character) return false
    this.#at++
    return true
  }

  /** What the pattern finds here, '' where it finds nothing. */
  #take(pattern: RegExp): string {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0] ?? ''
    this.#at += found.length
    return found
  }

  #fault(message: string, offset = this.#at): JsonFault {
    return new JsonFault(offset < this.#text.length ? message : `${message}, found end of input`, this.#text, offset)
  }
}
