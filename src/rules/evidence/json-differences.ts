/**
 * The differences between two JSON values, by path. Takes time that grows with their size: no list is searched through for
 * each element of another.
 */
import type { CompareSettings, Differences } from './difference.ts'
import { exactly, isWithin, type Json, JsonNumber, JsonObject, typeOf } from './json-value.ts'
import { type Element, Numbering, pairsById, pairsByOrder, without } from './list-elements.ts'
import { isDataKey, Marks, pathBelow } from './pointers.ts'
import { renderJson } from './rendering.ts'

/** Finds the differences between two values and adds them. */
export function addJsonDifferences(from: Json, to: Json, settings: CompareSettings, found: Differences): void {
  const root = { path: '', marks: Marks.of(settings), isHidden: false }
  new JsonComparison(settings.tolerance, found).values(from, to, root)
}

/** A place in both documents. */
interface Place {
  /** As differences are counted: what is data in it is `*`. */
  readonly path: string
  readonly marks: Marks
  /** Whether it lies below something that is redacted. */
  readonly isHidden: boolean
}

class JsonComparison {
  readonly #tolerance: number
  readonly #found: Differences
  readonly #numbering = new Numbering()
  /** By list or object of `from`: what it was last compared with, and whether it was alike. */
  readonly #known = new Map<Json, { readonly to: Json; readonly areAlike: boolean }>()

  constructor(tolerance: number, found: Differences) {
    this.#tolerance = tolerance
    this.#found = found
  }

  values(from: Json, to: Json, place: Place): void {
    if (this.#found.isCut || this.#areAlike(from, to, place.marks)) return
    if (typeOf(from) !== typeOf(to)) this.#add(place, 'type', from, to)
    else if (from instanceof JsonObject) this.#objects(from, to as JsonObject, place)
    else if (Array.isArray(from)) this.#lists(from, to as Json[], place)
    else this.#add(place, 'value', from, to)
  }

  #add(place: Place, kind: Parameters<Differences['add']>[1], from: Json | undefined, to: Json | undefined): void {
    const rendered = (value: Json | undefined) => (): string | null =>
      value === undefined ? null : renderJson(value, place.marks, place.isHidden)
    this.#found.add(place.path, kind, rendered(from), rendered(to))
  }

  #objects(from: JsonObject, to: JsonObject, place: Place): void {
    const isMap = isDataMap(from) || isDataMap(to)
    const isHidden = place.isHidden || place.marks.has('redact')
    const hasHiddenKeys = place.isHidden || place.marks.hidesKeys
    for (const key of new Set([...from.members.keys(), ...to.members.keys()])) {
      const [old, young] = [from.members.get(key), to.members.get(key)]
      const marks = place.marks.below(key)
      const hasOther = from.repeated.has(key) !== to.repeated.has(key)
      if (old !== undefined && young !== undefined && !hasOther && this.#areAlike(old, young, marks)) continue
      if (marks.has('ignore')) continue
      const below = {
        path: pathBelow(place.path, hasHiddenKeys || isMap || isDataKey(key) ? '*' : key),
        marks,
        isHidden,
      }
      if (old === undefined) this.#add(below, 'extra', undefined, young)
      else if (young === undefined) this.#add(below, 'missing', old, undefined)
      else this.values(old, young, below)
      // Readers that take the first value see another one on that side.
      const again = (object: JsonObject) => (): string | null => (object.repeated.has(key) ? 'key given twice' : null)
      if (hasOther) this.#found.add(below.path, from.repeated.has(key) ? 'missing' : 'extra', again(from), again(to))
    }
  }

  /**
   * Takes away what both lists have, and compares what is left: in pairs at the same index where nothing has moved, else
   * with what has the same id.
   */
  #lists(from: readonly Json[], to: readonly Json[], { path, marks, isHidden }: Place): void {
    const isOrdered = !marks.has('unordered')
    const isSameLength = from.length === to.length
    if (!isSameLength) this.#add({ path, marks, isHidden }, 'length', from, to)
    const elements = this.#unlike(from, to, marks)
    const ofFrom = elements.map((i) => this.#element(from, i, marks))
    const ofTo = (isSameLength ? elements : [...to.keys()]).map((i) => this.#element(to, i, marks))
    const [fromLeft, toLeft] = [without(ofFrom, ofTo), without(ofTo, ofFrom)]
    const hasMoved = fromLeft.length < ofFrom.length
    if (isOrdered && isSameLength && hasMoved) this.#add({ path, marks, isHidden }, 'order', from, to)
    const pairs = isOrdered && isSameLength && !hasMoved ? pairsByOrder : pairsById
    const below = { path: pathBelow(path, '*'), isHidden: isHidden || marks.has('redact') }
    for (const [{ index, value }, other] of pairs(fromLeft, toLeft)) {
      this.values(value, other.value, { ...below, marks: marks.below(index) })
    }
  }

  /** The indices of `from` that have something else in `to`; all of them where the lengths differ. */
  #unlike(from: readonly Json[], to: readonly Json[], marks: Marks): number[] {
    const indices = [...from.keys()]
    return indices.filter(
      (i) => from.length !== to.length || !this.#areAlike(from[i] as Json, to[i] as Json, marks.below(i)),
    )
  }

  #element(list: readonly Json[], index: number, marks: Marks): Element {
    const value = list[index] as Json
    return { index, value, number: this.#numbering.of(value, marks.below(index)) }
  }

  /** Whether two values are alike but for what is ignored or tolerated. Each pair of lists or objects is looked at once. */
  #areAlike(from: Json, to: Json, marks: Marks): boolean {
    if (marks.has('ignore')) return true
    if (typeOf(from) !== typeOf(to)) return false
    if (from instanceof JsonNumber) return this.#areAlikeNumbers(from, to as JsonNumber)
    if (!(from instanceof JsonObject) && !Array.isArray(from)) return from === to
    const known = this.#known.get(from)
    if (known?.to === to) return known.areAlike
    const areAlike =
      from instanceof JsonObject
        ? this.#areAlikeObjects(from, to as JsonObject, marks)
        : this.#areAlikeLists(from, to as Json[], marks)
    this.#known.set(from, { to, areAlike })
    return areAlike
  }

  #areAlikeNumbers(from: JsonNumber, to: JsonNumber): boolean {
    if (from.text === to.text || exactly(from) === exactly(to)) return true
    return this.#tolerance > 0 && isWithin(this.#tolerance, from, to)
  }

  #areAlikeObjects(from: JsonObject, to: JsonObject, marks: Marks): boolean {
    for (const [key, value] of from.members) {
      const other = to.members.get(key)
      const below = marks.below(key)
      if (below.has('ignore')) continue
      if (other === undefined || from.repeated.has(key) !== to.repeated.has(key)) return false
      if (!this.#areAlike(value, other, below)) return false
    }
    return [...to.members.keys()].every((key) => from.members.has(key) || marks.below(key).has('ignore'))
  }

  #areAlikeLists(from: readonly Json[], to: readonly Json[], marks: Marks): boolean {
    if (from.length !== to.length) return false
    if (from.every((value, i) => this.#areAlike(value, to[i] as Json, marks.below(i)))) return true
    return marks.has('unordered') && this.#numbering.of(from, marks) === this.#numbering.of(to, marks)
  }
}

const FEW_KEYS = 50
const MANY_KEYS = 500

/**
 * Whether an object is a map, whose keys are data even where they look like names: more than 50 members (as in Diffy) that
 * all have one type, or more than 500. A record with many columns has several types.
 */
function isDataMap({ members }: JsonObject): boolean {
  if (members.size <= FEW_KEYS) return false
  return members.size > MANY_KEYS || new Set([...members.values()].map(typeOf)).size === 1
}
