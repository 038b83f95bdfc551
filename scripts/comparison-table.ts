/**
 * Prints the tables of docs/background/comparison.md: how many comparisons it takes until a fault is found, and how often noise
 * is taken for one. A stream of answers with known faults and known noise is compared as shadowed requests are.
 */
import { fileURLToPath } from 'node:url'
import {
  type ComparedAnswer,
  compare,
  DEFAULT_COMPARED_HEADERS,
  type DifferenceKind,
} from '../src/rules/evidence/compare.ts'
import { isApart, judgePath, MOST_REPEATS, type PathCounts, repeatKind } from '../src/rules/evidence/noise.ts'

const RUNS = 5
const COMPARISONS = 10_000
/** Of the comparisons, so many ask `from` twice (`shadow.noise`). */
const NOISE = 0.1

type Chance = () => number

/** Numbers in [0, 1), the same ones for a seed (mulberry32). */
function chanceOf(seed: number): Chance {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

interface Product {
  [member: string]: unknown
}

/** A fault of `to`: what it does to an answer, in which part of the answers, and where it must be found. */
interface Fault {
  readonly name: string
  readonly found: string
  readonly rate: number
  plant(product: Product, answer: { status: number; contentType: string; location: string }): void
}

const FAULTS: readonly Fault[] = [
  { name: 'value', found: 'value /price', rate: 1, plant: (product) => (product.price = 18.9) },
  { name: 'missing member', found: 'missing /unit', rate: 1, plant: (product) => delete product.unit },
  { name: 'extra member', found: 'extra /unitName', rate: 1, plant: (product) => (product.unitName = 'piece') },
  { name: 'null against missing', found: 'missing /brand', rate: 1, plant: (product) => delete product.brand },
  { name: 'number as string', found: 'type /weight', rate: 1, plant: (product) => (product.weight = '1.5') },
  { name: 'rounding', found: 'value /vat', rate: 1, plant: (product) => (product.vat = 3.8) },
  { name: 'order of a list', found: 'order /sizes', rate: 1, plant: (product) => (product.sizes = ['L', 'M', 'S']) },
  { name: 'length of a list', found: 'length /images', rate: 1, plant: (product) => (product.images = ['1.jpg']) },
  { name: 'header field', found: 'value header:location', rate: 1, plant: (_, answer) => (answer.location = '/new/1') },
  {
    name: 'charset',
    found: 'value header:content-type',
    rate: 1,
    plant: (_, answer) => (answer.contentType = 'application/json; charset=iso-8859-1'),
  },
  {
    name: 'value, in 10 % of the responses',
    found: 'value /name',
    rate: 0.1,
    plant: (product) => (product.name = 'Nut'),
  },
  { name: 'status, in 1 %', found: 'value status', rate: 0.01, plant: (_, answer) => (answer.status = 500) },
  { name: 'value, in 1 %', found: 'value /stores/*/price', rate: 0.01, plant: plantInStore },
  {
    name: 'value, in 1 %, below noise of 0.1 %',
    found: 'value /rating',
    rate: 0.01,
    plant: (product) => (product.rating = 0),
  },
]

function plantInStore(product: Product): void {
  ;(product.stores as { price: number }[])[1] = { id: 2, price: 99 } as { price: number }
}

/** What differs between any two answers, and where. */
const NOISES: readonly { readonly name: string; readonly found: string }[] = [
  { name: 'a time, always', found: 'value /generatedAt' },
  { name: 'an id, always', found: 'value /requestId' },
  { name: 'one of two servers', found: 'value /servedBy' },
  { name: 'the order of a list', found: 'order /tags' },
  { name: 'a count that changes in 2 %', found: 'value /stock' },
  { name: 'a member that 1 % lack', found: 'missing /promotion' },
  { name: 'a member that 1 % have', found: 'extra /notice' },
]

/** One answer to the request at a time, from either side. */
function answerAt(chance: Chance, stock: number, faults: readonly Fault[]): ComparedAnswer {
  const shuffled = ['a', 'b', 'c'].map((tag) => [chance(), tag] as const).sort(([a], [b]) => a - b)
  const product: Product = {
    generatedAt: chance(),
    requestId: `${chance()}`,
    servedBy: chance() < 0.5 ? 'node-a' : 'node-b',
    tags: shuffled.map(([, tag]) => tag),
    stock,
    ...(chance() < 0.01 ? {} : { promotion: 'none' }),
    ...(chance() < 0.01 ? { notice: 'soon' } : {}),
    rating: chance() < 0.001 ? 3 : 4,
    ...{ price: 19.9, unit: 'piece', brand: null, weight: 1.5, vat: 3.781, name: 'Bolt' },
    ...{ sizes: ['S', 'M', 'L'], images: ['1.jpg', '2.jpg'] },
    stores: [1, 2, 3].map((id) => ({ id, price: 20 + id })),
  }
  const answer = { status: 200, contentType: 'application/json; charset=utf-8', location: '/old/1' }
  for (const fault of faults) fault.plant(product, answer)
  const rawHeaders = ['Content-Type', answer.contentType, 'Location', answer.location]
  return { status: answer.status, rawHeaders, body: new TextEncoder().encode(JSON.stringify(product)) }
}

const SETTINGS = { headers: DEFAULT_COMPARED_HEADERS, ignore: [], unordered: [], tolerance: 0, redact: [] }

const differing = (one: ComparedAnswer, other: ComparedAnswer): Set<string> =>
  new Set(compare(one, other, SETTINGS).differences.map(({ kind, path }) => `${kind} ${path}`))

interface Tally {
  raw: number
  noise: number
  readonly again: Repeats
  /** The comparison after which it was first called a mismatch, and whether it was after the first thousand. */
  firstAt: number
  isAfterThousand: boolean
}

/** A way to ask `from` twice, and to judge what comes of it. */
interface Way {
  readonly name: string
  /** Whether noise is looked for at random, as often as said; else each time. */
  readonly isSampled: boolean
  /** Whether `from` is also asked again after the first differences at each path. */
  readonly repeats: boolean
  isMismatch(counts: PathCounts): boolean
}

const WAYS: readonly Way[] = [
  { name: "Diffy's rule, three requests each", isSampled: false, repeats: false, isMismatch: isApart },
  { name: "Diffy's rule, noise 10 %", isSampled: true, repeats: false, isMismatch: isApart },
  {
    name: 'banyan, noise 10 %',
    isSampled: true,
    repeats: false,
    isMismatch: (counts) => judgePath(counts) === 'mismatch',
  },
  {
    name: 'banyan, and after differences',
    isSampled: true,
    repeats: true,
    isMismatch: (counts) => judgePath(counts) === 'mismatch',
  },
]

/** What one way made of one stream. */
interface Watched {
  readonly way: Way
  readonly tallies: Map<string, Tally>
  readonly repeats: Map<string, Repeats>
  noiseComparisons: number
  /** How often `from` was asked a second time. */
  asked: number
}

interface Repeats {
  asked: number
  differed: number
}

const newRepeats = (): Repeats => ({ asked: 0, differed: 0 })

const newTally = (again = newRepeats()): Tally => ({
  ...{ raw: 0, noise: 0, again, firstAt: Number.POSITIVE_INFINITY, isAfterThousand: false },
})

/** A path and kind as repeats are counted. */
function repeatKey(path: string): string {
  const [kind = '', ...rest] = path.split(' ')
  return `${repeatKind(kind as DifferenceKind)} ${rest.join(' ')}`
}

/** One stream of comparisons, seen in all ways. */
function watch(seed: number, comparisons: number): Watched[] {
  const chance = chanceOf(seed)
  const watched = WAYS.map(
    (way): Watched => ({ way, tallies: new Map(), repeats: new Map(), noiseComparisons: 0, asked: 0 }),
  )
  let stock = 100
  for (let count = 1; count <= comparisons; count++) {
    const [first, second, third] = [[], FAULTS.filter(({ rate }) => chance() < rate), []].map((faults) => {
      stock += chance() < 0.02 ? 1 : 0
      return answerAt(chance, stock, faults)
    }) as [ComparedAnswer, ComparedAnswer, ComparedAnswer]
    const seen = { raw: differing(first, second), noise: differing(first, third), isPicked: chance() < NOISE }
    for (const one of watched) look(one, seen, count)
  }
  return watched
}

interface Seen {
  readonly raw: ReadonlySet<string>
  readonly noise: ReadonlySet<string>
  readonly isPicked: boolean
}

function look(watched: Watched, { raw, noise, isPicked }: Seen, comparisons: number): void {
  const { way, tallies, repeats } = watched
  const tallyOf = (path: string): Tally => {
    const key = repeatKey(path)
    const again = repeats.get(key) ?? newRepeats()
    const tally = tallies.get(path) ?? newTally(again)
    repeats.set(key, again)
    tallies.set(path, tally)
    return tally
  }
  const countsNoise = !way.isSampled || isPicked
  const asks = countsNoise || (way.repeats && [...raw].some((path) => tallyOf(path).again.asked < MOST_REPEATS))
  if (asks) watched.asked++
  if (countsNoise) {
    watched.noiseComparisons++
    for (const path of noise) tallyOf(path).noise++
  }
  for (const path of raw) tallyOf(path).raw++
  const ofSecond = new Set([...noise].map(repeatKey))
  for (const key of asks ? new Set([...raw].map(repeatKey)) : []) {
    const again = repeats.get(key) as Repeats
    again.asked++
    if (ofSecond.has(key)) again.differed++
  }
  for (const tally of tallies.values()) {
    const { noiseComparisons } = watched
    const counts = { ...tally, comparisons, noiseComparisons }
    // What is asked at random only says little of what follows a difference.
    const { again, ...rates } = counts
    const judged = way.repeats ? counts : rates
    const isMismatch = way.isMismatch(judged)
    if (isMismatch) tally.firstAt = Math.min(tally.firstAt, comparisons)
    if (comparisons === 1_000) tally.isAfterThousand = isMismatch
  }
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] as number

const row = (cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`

/** The two tables, as Markdown. */
export function comparisonTables(runs = RUNS, comparisons = COMPARISONS): string {
  const all = Array.from({ length: runs }, (_, seed) => watch(seed + 1, comparisons))
  const of = (way: number, path: string): Tally[] => all.map((one) => one[way]?.tallies.get(path) ?? newTally())
  const number = (value: number): string => (value > comparisons ? `> ${comparisons}` : `${value}`)
  const head = (title: string): string[] => [
    row([title, 'path and kind', ...WAYS.map(({ name }) => name)]),
    row(['---', '---', ...WAYS.map(() => '---')]),
  ]
  const asked = WAYS.map((_, way) => {
    const share = median(all.map((one) => (one[way]?.asked ?? 0) / comparisons))
    return `${(100 * share).toFixed(0)} %`
  })
  return [
    ...head('fault'),
    ...FAULTS.map(({ name, found }) =>
      row([
        name,
        `\`${found}\``,
        ...WAYS.map((_, way) => number(median(of(way, found).map(({ firstAt }) => firstAt)))),
      ]),
    ),
    row(['`from` asked a second time', '', ...asked]),
    '',
    ...head('noise'),
    ...NOISES.map(({ name, found }) =>
      row([
        name,
        `\`${found}\``,
        ...WAYS.map((_, way) => {
          const ever = of(way, found).filter(({ firstAt }) => firstAt <= comparisons).length
          const later = of(way, found).filter(({ isAfterThousand }) => isAfterThousand).length
          return ever === 0 ? 'never' : `${ever} of ${runs}; after 1000: ${later}`
        }),
      ]),
    ),
  ].join('\n')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.stdout.write(`${comparisonTables()}\n`)
