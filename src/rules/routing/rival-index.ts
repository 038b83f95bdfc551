/**
 * Indexes of claims: a large table compares each with the few that it can have to do with, not with all others. What is found is
 * compared in full by whoever asks; what is left out can't be tied with a claim, or can't hide it.
 */
import type { HostPattern } from '../patterns/host.ts'
import type { PathPattern } from '../patterns/path.ts'
import type { ValueTest } from '../patterns/value-test.ts'
import type { Steps } from '../values/steps.ts'
import { coarse, push, type Rival } from './rivals.ts'

/** Fewer claims are compared each with each. */
const MANY = 16

/** What passes a test is one of these texts, or starts with the one that there is. */
interface Wanted {
  readonly texts: readonly string[]
  readonly areStarts: boolean
}

/** Null where a test names no texts. */
function wantedBy(test: ValueTest | undefined): Wanted | null {
  if (test?.is === 'anyOf') return { texts: test.values, areStarts: false }
  return test?.is === 'startsWith' ? { texts: [test.text], areStarts: true } : null
}

/** The starts of a text that have one of these lengths. */
function* startsOf(text: string, lengths: Iterable<number>): Iterable<string> {
  for (const length of lengths) if (length <= text.length) yield text.slice(0, length)
}

/** Claims that may be tied with later ones, by the texts of one subject: the one that tells them apart best. */
export class EarlierRivals {
  readonly #subject: string | null
  /** Those that name no texts of the subject. */
  readonly #others: number[] = []
  readonly #whole = new Map<string, number[]>()
  readonly #starts = new Map<string, number[]>()
  readonly #lengths = new Set<number>()
  /** All texts of all claims, in order. */
  readonly #texts: readonly string[]

  /** @param rivals that will be added, each of them, in this order */
  constructor(rivals: readonly Rival[]) {
    this.#subject = rivals.length < MANY ? null : subjectOf(rivals)
    const all = new Set(rivals.flatMap((rival) => this.#wantedBy(rival)?.texts ?? []))
    this.#texts = [...all].sort()
  }

  add(rival: Rival, index: number): void {
    const wanted = this.#wantedBy(rival)
    if (wanted === null) this.#others.push(index)
    for (const text of wanted?.texts ?? []) {
      push(wanted?.areStarts ? this.#starts : this.#whole, text, index)
      if (wanted?.areStarts) this.#lengths.add(text.length)
    }
  }

  /** Lists of those that were added, in their order. */
  *listsFor(rival: Rival): Iterable<readonly number[]> {
    yield this.#others
    const wanted = this.#wantedBy(rival)
    if (wanted === null) {
      yield* this.#whole.values()
      yield* this.#starts.values()
      return
    }
    for (const text of wanted.texts) {
      for (const start of startsOf(text, this.#lengths)) yield this.#starts.get(start) ?? []
      if (!wanted.areStarts) yield this.#whole.get(text) ?? []
      else yield* this.#startingWith(text)
    }
  }

  *#startingWith(start: string): Iterable<readonly number[]> {
    for (let at = placeOf(start, this.#texts); this.#texts[at]?.startsWith(start); at++) {
      const text = this.#texts[at] as string
      yield this.#whole.get(text) ?? []
      if (text !== start) yield this.#starts.get(text) ?? []
    }
  }

  #wantedBy({ tests }: Rival): Wanted | null {
    return this.#subject === null ? null : wantedBy(tests.get(this.#subject))
  }
}

/** The subject by whose texts the fewest pairs are left to compare, or null. */
function subjectOf(rivals: readonly Rival[]): string | null {
  const bySubject = new Map<string, { named: number; readonly texts: Map<string, number> }>()
  for (const { tests } of rivals) {
    for (const [subject, test] of tests) {
      const wanted = wantedBy(test)
      if (wanted === null) continue
      const known = bySubject.get(subject) ?? { named: 0, texts: new Map<string, number>() }
      bySubject.set(subject, known)
      known.named++
      for (const text of wanted.texts) known.texts.set(text, (known.texts.get(text) ?? 0) + 1)
    }
  }
  let best: string | null = null
  let least = rivals.length ** 2
  for (const [subject, { named, texts }] of bySubject) {
    const pairs = texts.values().reduce((sum, n) => sum + n * n, (rivals.length - named) * rivals.length)
    if (pairs >= least) continue
    best = subject
    least = pairs
  }
  return best
}

/** Where a text stands in a sorted list, or would stand. */
function placeOf(text: string, sorted: readonly string[]): number {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((sorted[middle] as string) < text) low = middle + 1
    else high = middle
  }
  return low
}

/** Claims that may have all requests of others, by their paths: segment by segment, as the others may have them. */
export class WiderRivals {
  readonly #root: Branch = newBranch()
  readonly #groups: Group[] = []

  add(rival: Rival, index: number): void {
    let branch = this.#root
    for (const literal of rival.claim.path.segments) {
      const key = coarse(literal)
      const next = branch.next.get(key) ?? newBranch()
      branch.next.set(key, next)
      branch = next
    }
    const end = rival.claim.path.rest ? 'rest' : 'whole'
    const group = branch[end] ?? new Group()
    if (branch[end] === null) this.#groups.push(group)
    branch[end] = group
    group.add(rival, index)
  }

  /** To be done once, between `add` and `listsFor`; a claim at a time. */
  *sortSteps(): Steps<void> {
    for (const group of this.#groups) yield* group.sortSteps()
  }

  /** Lists of those that were added, in their order. */
  *listsFor(rival: Rival): Iterable<readonly number[]> {
    for (const group of groupsOn(this.#root, rival.claim.path, 0)) yield* group.listsFor(rival)
  }
}

interface Branch {
  readonly next: Map<string, Branch>
  /** Claims whose paths end here. */
  whole: Group | null
  /** Those that take what follows too. */
  rest: Group | null
}

function newBranch(): Branch {
  return { next: new Map(), whole: null, rest: null }
}

function* groupsOn(branch: Branch, path: PathPattern, depth: number): Iterable<Group> {
  const { segments } = path
  if (branch.rest !== null) yield branch.rest
  const left = segments.length - depth
  // A final slash may be ignored.
  if (branch.whole !== null && (left === 0 || (left === 1 && segments[depth] === ''))) yield branch.whole
  if (left === 0) return
  const key = coarse(segments[depth] as string | null)
  for (const one of key === ANY ? [ANY] : [key, ANY]) {
    const next = branch.next.get(one)
    if (next !== undefined) yield* groupsOn(next, path, depth + 1)
  }
}

const ANY = coarse(null)

/** Claims with the same path, by the hosts or the texts that requests must have. */
class Group {
  readonly #added: (readonly [Rival, number])[] = []
  readonly #others: number[] = []
  readonly #byKey = new Map<string, number[]>()
  /** Of the starts that values must have. */
  readonly #lengths = new Set<number>()

  add(rival: Rival, index: number): void {
    this.#added.push([rival, index])
  }

  *sortSteps(): Steps<void> {
    const counts = new Map<string, number>()
    if (this.#added.length >= MANY) {
      for (const [rival] of this.#added) {
        for (const key of keySets(rival).flat()) counts.set(key, (counts.get(key) ?? 0) + 1)
        yield
      }
    }
    const shared = (keys: readonly string[]): number => keys.reduce((sum, key) => sum + (counts.get(key) ?? 0), 0)
    for (const [rival, index] of this.#added) {
      // One set is enough: where a claim has nothing in common with it, it is not hidden.
      const [keys] = counts.size === 0 ? [] : keySets(rival).sort((a, b) => shared(a) - shared(b))
      if (keys === undefined) this.#others.push(index)
      for (const key of keys ?? []) push(this.#byKey, key, index)
      for (const test of rival.tests.values()) if (test.is === 'startsWith') this.#lengths.add(test.text.length)
      yield
    }
  }

  *listsFor(rival: Rival): Iterable<readonly number[]> {
    yield this.#others
    if (this.#byKey.size === 0) return
    const [host] = rival.claim.hosts
    if (host !== undefined) for (const name of namesOver(host)) yield this.#byKey.get(hostKey(name)) ?? []
    for (const [subject, test] of rival.tests) {
      const wanted = wantedBy(test)
      const [text] = wanted?.texts ?? []
      if (wanted === null || text === undefined) continue
      if (!wanted.areStarts) yield this.#byKey.get(textKey(subject, text, false)) ?? []
      for (const start of startsOf(text, this.#lengths)) yield this.#byKey.get(textKey(subject, start, true)) ?? []
    }
  }
}

/** Sets of keys: a claim that this one hides has one of each set. */
function keySets({ claim, tests }: Rival): string[][] {
  const sets = claim.hosts.length === 0 ? [] : [claim.hosts.map(({ name }) => hostKey(name))]
  for (const [subject, test] of tests) {
    const wanted = wantedBy(test)
    if (wanted !== null) sets.push(wanted.texts.map((text) => textKey(subject, text, wanted.areStarts)))
  }
  return sets
}

function hostKey(name: string): string {
  return `\0${name}`
}

function textKey(subject: string, text: string, isStart: boolean): string {
  return `${subject}\0${isStart ? '^' : '='}${text}`
}

/** The names of patterns that may take all hosts of this one. */
function* namesOver({ name }: HostPattern): Iterable<string> {
  yield name
  for (let at = name.indexOf('.', 1); at !== -1; at = name.indexOf('.', at + 1)) yield name.slice(at)
}
