/**
 * Long work on the serving thread: runs in pieces below a millisecond and yields in between.
 */
import { setImmediate as turn } from 'node:timers/promises'
import type { Steps } from '../rules/values/steps.ts'

/** So long one piece of it may take; a step that takes longer can't be cut. */
const PIECE_MS = 0.5

/** Does the work, and gives way to others after each half of a millisecond of it. Rejects with what a step throws. */
export async function inTurns<Result>(steps: Steps<Result>): Promise<Result> {
  let untilMs = performance.now() + PIECE_MS
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done === true) return step.value
    if (performance.now() < untilMs) continue
    await turn()
    untilMs = performance.now() + PIECE_MS
  }
}

/**
 * Has work begin one piece per turn of the event loop: what comes for many connections at once would otherwise be done in one turn,
 * in which nothing is proxied.
 * @returns takes a piece of work, which may throw: the others do not wait for ever
 */
export function onePerTurn(): (work: () => void) => void {
  const waiting: (() => void)[] = []
  const next = (): void => {
    const work = waiting.shift()
    if (waiting.length > 0) setImmediate(next)
    work?.()
  }
  return (work) => {
    if (waiting.push(work) === 1) setImmediate(next)
  }
}

/** Collections in a value down to this depth are written an entry at a time. */
const DEPTH_IN_STEPS = 2

/** Characters of a text that are written at a time. */
const SLICE = 16_384

/** Bytes of a text that are made at a time. */
const CHUNK = 65_536

/** Entries one per turn of the event loop: a socket that takes all it gets would otherwise be written to in one turn. */
export async function* onePerTurnOf<Entry>(entries: Iterable<Entry>): AsyncIterable<Entry> {
  for (const entry of entries) {
    yield entry
    await turn()
  }
}

/** Lines as bytes, a line at a time. */
export function* linesSteps(lines: Iterable<string>): Steps<Buffer[]> {
  const chunks: Buffer[] = []
  let text = ''
  for (const line of lines) {
    text += line
    if (text.length >= CHUNK) {
      chunks.push(Buffer.from(text))
      text = ''
    }
    yield
  }
  chunks.push(Buffer.from(text))
  return chunks
}

/**
 * The value as JSON that a person can read, as `JSON.stringify(value, null, 2)` writes it, an entry at a time, with a line break behind
 * it. An iterator is a list too: its entries are made as they are written. The bytes are in chunks, since to put tens of megabytes
 * together takes long at once.
 * @param depth of the value in what is written an entry at a time down to a depth of 2
 */
export function* jsonSteps(value: unknown, depth = 0): Steps<Buffer[]> {
  const chunks: Buffer[] = []
  let text = ''
  const put = (piece: string): void => {
    text += piece
    if (text.length < CHUNK) return
    chunks.push(Buffer.from(text))
    text = ''
  }
  yield* writeSteps(put, value, '', depth)
  chunks.push(Buffer.from(`${text}\n`))
  return chunks
}

function* writeSteps(put: (piece: string) => void, value: unknown, indent: string, depth: number): Steps<void> {
  if (typeof value === 'string' && value.length > SLICE) return yield* textSteps(put, value)
  if (typeof value !== 'object' || value === null || depth >= DEPTH_IN_STEPS) {
    put((JSON.stringify(value, null, 2) ?? 'null').replaceAll('\n', `\n${indent}`))
    return
  }
  const inner = `${indent}  `
  const isList = Symbol.iterator in value
  let isEmpty = true
  for (const [name, entry] of isList ? named(value as Iterable<unknown>) : Object.entries(value)) {
    if (entry === undefined && !isList) continue
    put(`${isEmpty ? (isList ? '[' : '{') : ','}\n${inner}${isList ? '' : `${JSON.stringify(name)}: `}`)
    isEmpty = false
    yield* writeSteps(put, entry, inner, depth + 1)
    yield
  }
  if (isEmpty) put(isList ? '[]' : '{}')
  else put(`\n${indent}${isList ? ']' : '}'}`)
}

function* textSteps(put: (piece: string) => void, text: string): Steps<void> {
  put('"')
  for (let at = 0, end = 0; at < text.length; at = end) {
    end = Math.min(text.length, at + SLICE)
    // Half of a surrogate pair would be written as an escape.
    while (end < text.length && isHighSurrogate(text.charCodeAt(end - 1))) end++
    put(JSON.stringify(text.slice(at, end)).slice(1, -1))
    yield
  }
  put('"')
}

function isHighSurrogate(code: number): boolean {
  return code >= 0xd800 && code < 0xdc00
}

function* named(entries: Iterable<unknown>): Iterable<[string, unknown]> {
  for (const entry of entries) yield ['', entry]
}
