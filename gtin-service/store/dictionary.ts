/**
 * The texts that many products share: each is stored once per generation, and products hold its number.
 *
 * A dictionary only grows, so that a record written with an older state of it reads the same with a newer one; and the
 * same text always has the same code, so that records of equal products are equal bytes.
 */

/** The fields whose values repeat. The order is part of the file format: new ones go to the end. */
export const SHARED_FIELDS = [
  'size1',
  'size2',
  'subdivision',
  'class',
  'subclass',
  'description',
  'color',
  'supplier',
  'store',
] as const
export type SharedField = (typeof SHARED_FIELDS)[number]

/** Beyond this many texts a field's further ones stand in the records themselves: free text must not fill the memory. */
const MAX_TEXTS = 65_536
/** A longer text, in UTF-16 units, is hardly one that repeats. */
const MAX_LENGTH = 120

/** The texts of all shared fields. */
export class Dictionary {
  readonly #codes = new Map<SharedField, Map<string, number>>(SHARED_FIELDS.map((field) => [field, new Map()]))
  readonly #texts = new Map<SharedField, string[]>(SHARED_FIELDS.map((field) => [field, []]))
  /** All entries in the order they came: the field's place in SHARED_FIELDS, and the text. */
  readonly #entryFields: number[] = []
  readonly #entryTexts: string[] = []

  /** How many entries there are, over all fields. */
  get size(): number {
    return this.#entryTexts.length
  }

  /** The texts of a field by their code minus one. The list itself, for the reader's inner loop: not to be changed. */
  textsOf(field: SharedField): readonly string[] {
    return this.#texts.get(field) as string[]
  }

  /** The code of a text, from 1; 0 where the text has none and gets none. */
  codeOf(field: SharedField, text: string): number {
    const codes = this.#codes.get(field) as Map<string, number>
    const known = codes.get(text)
    if (known !== undefined) return known
    if (codes.size >= MAX_TEXTS || text.length > MAX_LENGTH) return 0
    const code = codes.size + 1
    codes.set(text, code)
    ;(this.#texts.get(field) as string[]).push(text)
    this.#entryFields.push(SHARED_FIELDS.indexOf(field))
    this.#entryTexts.push(text)
    return code
  }

  /** The entries from number `first` on, a line of JSON each; what `readLines` reads. */
  linesFrom(first: number): string {
    let lines = ''
    for (let i = first; i < this.size; i++) {
      lines += `${JSON.stringify([this.#entryFields[i], this.#entryTexts[i]])}\n`
    }
    return lines
  }

  /** The dictionary of whole lines as `linesFrom` writes them. Throws an Error where they are none. */
  static readLines(lines: string): Dictionary {
    const dictionary = new Dictionary()
    for (const line of lines.split('\n')) {
      if (line === '') continue
      const [at, text] = JSON.parse(line) as [number, string]
      const field = SHARED_FIELDS[at]
      if (field === undefined || typeof text !== 'string') throw new Error('not a dictionary')
      dictionary.codeOf(field, text)
    }
    return dictionary
  }
}
