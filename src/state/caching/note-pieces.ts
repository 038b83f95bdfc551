/**
 * The routes of a note in pieces: an edit of a few routes writes their pieces again, and leaves the others as they are.
 */
import { hash } from 'node:crypto'
import { writeSummary } from '../../rules/caching/edits.ts'
import type { WrittenNote } from './remote.ts'

/** A few routes each in a table of thousands. */
const PIECES = 256

/** The routes that cache as they are written, by id. */
export class NotePieces {
  readonly #routes: readonly Map<string, string>[] = Array.from({ length: PIECES }, () => new Map())
  /** Null where it is not known any more. */
  readonly #pieces: ({ readonly text: string; readonly print: string } | null)[] = new Array(PIECES).fill(null)
  #written: WrittenNote | null = null

  constructor(routes: Iterable<readonly [id: string, text: string]>) {
    for (const [id, text] of routes) this.set(id, text)
  }

  set(id: string, text: string): void {
    const at = placeOf(id)
    if (this.#routes[at]?.get(id) === text) return
    this.#routes[at]?.set(id, text)
    this.#changed(at)
  }

  delete(id: string): void {
    const at = placeOf(id)
    if (this.#routes[at]?.delete(id)) this.#changed(at)
  }

  get written(): WrittenNote {
    if (this.#written !== null) return this.#written
    const all = this.#routes.map((routes, at) => (this.#pieces[at] ??= pieceOf(routes)))
    const print = hash('sha256', all.map((piece) => piece.print).join(), 'base64url')
    this.#written = { pieces: all.map(({ text }) => text), print }
    return this.#written
  }

  #changed(at: number): void {
    this.#pieces[at] = null
    this.#written = null
  }
}

function pieceOf(routes: ReadonlyMap<string, string>): { readonly text: string; readonly print: string } {
  if (routes.size === 0) return { text: '', print: '' }
  const sorted = [...routes].sort(([one], [other]) => (one < other ? -1 : 1))
  const text = writeSummary(sorted.map(([, route]) => route))
  return { text, print: hash('sha256', text, 'base64url') }
}

function placeOf(id: string): number {
  let sum = 0
  for (let at = 0; at < id.length; at++) sum = (sum * 31 + id.charCodeAt(at)) | 0
  return (sum ^ (sum >>> 8)) & (PIECES - 1)
}
