/**
 * What comes of reading a text of the table.
 */
import type { TextFacts } from '../../rules/language/text.ts'
import type { Table } from '../../rules/table/table.ts'
import type { ReadApart } from './apart.ts'
import type { TableMove } from './followers.ts'

/** A text that was read. */
export type ReadText = { readonly text: string } & (
  | {
      readonly ok: true
      readonly table: Table
      readonly facts: TextFacts
      /** How the table is got at from that of the revision in force. */
      readonly move: TableMove
    }
  | Extract<ReadApart, { ok: false }>
)
