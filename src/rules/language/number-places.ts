/**
 * Where the numbers that move traffic, percents and weights, are in the text of a table.
 */
import { type Document, isMap, isScalar, isSeq, type Node, visit } from 'yaml'
import { targetNames } from '../routing/targets.ts'
import type { TableDocument } from '../table/schema.ts'
import { NUMBER, type NumberPlaces, PERCENT, WIDTH } from './numbers.ts'

/** The numbers of a valid text. None of a text with aliases, where one number may stand in several places. */
export function numberPlaces(parsed: Document.Parsed, document: TableDocument, text: string): NumberPlaces {
  const found: number[] = []
  const add = (node: unknown, owner: number, part: number): void => {
    if (!isScalar(node) || node.type !== 'PLAIN' || node.anchor !== undefined || node.tag !== undefined) return
    const [start, end] = (node as Node).range as [number, number, number]
    if (NUMBER.test(text.slice(start, end))) found.push(start, end, owner, part)
  }
  if (hasAliases(parsed, text)) return Int32Array.of()
  for (const [name, said] of pairsOf(entryOf(parsed.contents, 'upstreams'))) {
    const owner = ~Object.keys(document.upstreams).indexOf(name)
    for (const [part, server] of itemsOf(entryOf(said, 'servers')).entries())
      add(entryOf(server, 'weight'), owner, part)
  }
  for (const [owner, said] of itemsOf(entryOf(parsed.contents, 'routes')).entries()) {
    add(entryOf(said, 'percent'), owner, PERCENT)
    const to = entryOf(said, 'to')
    const names = isMap(to) ? targetNames(document.routes?.[owner]?.to ?? '') : []
    for (const [name, weight] of pairsOf(to)) add(weight, owner, names.indexOf(name))
  }
  return inOrder(found)
}

/** Whether something in a document stands for something else in it. */
export function hasAliases(parsed: Document.Parsed, text: string): boolean {
  // To visit all nodes of a large table takes longer than to look for the character.
  if (!text.includes('&')) return false
  let has = false
  visit(parsed, {
    Alias() {
      has = true
      return visit.BREAK
    },
  })
  return has
}

function pairsOf(node: unknown): [string, unknown][] {
  if (!isMap(node)) return []
  return node.items.map(({ key, value }) => [isScalar(key) ? String(key.value) : '', value])
}

function itemsOf(node: unknown): readonly unknown[] {
  return isSeq(node) ? node.items : []
}

function entryOf(node: unknown, name: string): unknown {
  return pairsOf(node).find(([key]) => key === name)?.[1]
}

function inOrder(found: readonly number[]): NumberPlaces {
  const rows = Array.from({ length: found.length / WIDTH }, (_, at) => found.slice(at * WIDTH, (at + 1) * WIDTH))
  rows.sort((a, b) => (a[0] as number) - (b[0] as number))
  return Int32Array.from(rows.flat())
}
