/**
 * The elements of two lists, found again where they have moved.
 */
import { exactly, type Json, JsonNumber, JsonObject } from './json-value.ts'
import type { Marks } from './pointers.ts'

/** An element of a list. */
export interface Element {
  readonly index: number
  readonly value: Json
  /** The same as of those that are alike. */
  readonly number: number
}

/** The elements for which the others have none that is alike. */
export function without(elements: readonly Element[], others: readonly Element[]): Element[] {
  const counts = new Map<number, number>()
  for (const { number } of others) counts.set(number, (counts.get(number) ?? 0) + 1)
  return elements.filter(({ number }) => {
    const count = counts.get(number) ?? 0
    counts.set(number, count - 1)
    return count <= 0
  })
}

/**
 * Pairs the elements of two lists: those with the same id, then the rest in order, as far as both lists go.
 * An id is any number or string that a member of one element has, and of no other one on the same side.
 */
export function pairsById(from: readonly Element[], to: readonly Element[]): (readonly [Element, Element])[] {
  const ids = idsOf(to)
  const pairs = new Map<Element, Element>()
  const taken = new Set<Element>()
  // Sorted, so that it makes no difference which of the two lists is `from`.
  for (const [id, element] of [...idsOf(from)].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const other = ids.get(id)
    if (element === null || other === undefined || other === null || pairs.has(element) || taken.has(other)) continue
    pairs.set(element, other)
    taken.add(other)
  }
  const rest = pairsByOrder(
    from.filter((element) => !pairs.has(element)),
    to.filter((element) => !taken.has(element)),
  )
  return [...pairs, ...rest]
}

/** Pairs the elements of two lists in order, as far as both go. */
export function pairsByOrder(from: readonly Element[], to: readonly Element[]): (readonly [Element, Element])[] {
  return from.slice(0, to.length).map((element, i) => [element, to[i] as Element])
}

/** Elements by their ids; null where several have one. */
function idsOf(elements: readonly Element[]): Map<string, Element | null> {
  const ids = new Map<string, Element | null>()
  for (const element of elements) {
    if (!(element.value instanceof JsonObject)) continue
    for (const [name, value] of element.value.members) {
      if (typeof value !== 'string' && !(value instanceof JsonNumber)) continue
      const id = typeof value === 'string' ? `${name}"${value}` : `${name}#${exactly(value)}`
      ids.set(id, ids.has(id) ? null : element)
    }
  }
  return ids
}

/** More than a body within the bounds has values. */
const MOST_NUMBERS = 2 ** 26

/**
 * Gives values numbers: the same one to those that are alike, without what is ignored and without the order that does not
 * count. Nothing is hashed, so that nothing can collide: a list is numbered by the pairs of a number and the next one.
 */
export class Numbering {
  readonly #scalars = new Map<string, number>()
  readonly #pairs = new Map<number, number>()
  readonly #known = new Map<Json, number>()
  #next = 0

  of(value: Json, marks: Marks): number {
    if (marks.has('ignore')) return this.#scalar('ignored')
    if (typeof value === 'string') return this.#scalar(`"${value}`)
    if (value instanceof JsonNumber) return this.#scalar(exactly(value))
    if (value === null || typeof value === 'boolean') return this.#scalar(String(value))
    let number = this.#known.get(value)
    if (number === undefined) {
      number = value instanceof JsonObject ? this.#object(value, marks) : this.#list(value as readonly Json[], marks)
      this.#known.set(value, number)
    }
    return number
  }

  #object({ members, repeated }: JsonObject, marks: Marks): number {
    const numbers: number[] = []
    for (const [key, value] of members) {
      const below = marks.below(key)
      if (below.has('ignore')) continue
      const name = this.#scalar(repeated.has(key) ? `twice ${key}` : `"${key}`)
      numbers.push(this.#pair(name, this.of(value, below)))
    }
    return this.#all('{', numbers.sort(ascending))
  }

  #list(list: readonly Json[], marks: Marks): number {
    const numbers = list.map((value, index) => this.of(value, marks.below(index)))
    return this.#all('[', marks.has('unordered') ? numbers.sort(ascending) : numbers)
  }

  #all(kind: '{' | '[', numbers: readonly number[]): number {
    return numbers.reduce((one, other) => this.#pair(one, other), this.#scalar(kind))
  }

  #scalar(text: string): number {
    return this.#numberOf(this.#scalars, text)
  }

  #pair(one: number, other: number): number {
    return this.#numberOf(this.#pairs, one * MOST_NUMBERS + other)
  }

  #numberOf<Key>(numbers: Map<Key, number>, key: Key): number {
    const known = numbers.get(key)
    if (known !== undefined) return known
    numbers.set(key, this.#next)
    return this.#next++
  }
}

const ascending = (a: number, b: number): number => a - b
