/**
 * What one record of the feed means to this service's data.
 */
import type { GtinKey } from '../gtin.ts'
import type { Product } from '../source.ts'

/**
 * Why a record was not taken:
 *
 * - `malformed`: no JSON object
 * - `unknown-record`: neither a product nor a deletion
 * - `missing-field`: a column that a product needs is not there
 * - `bad-gtin`: the GTIN has other characters than digits, or no customary length
 * - `check-digit`: the GTIN's last digit does not follow from the others
 * - `unknown-code`: a code that the code tables have no name for
 * - `bad-value`: an amount, a price list or a text that is none
 * - `duplicate`: the product came before in the same feed; the later record is taken
 */
export const REJECT_REASONS = [
  'malformed',
  'unknown-record',
  'missing-field',
  'bad-gtin',
  'check-digit',
  'unknown-code',
  'bad-value',
  'duplicate',
] as const
export type RejectReason = (typeof REJECT_REASONS)[number]

/** A product to hold from now on, one to hold no longer, or a record that can't be understood. */
export type Change =
  | { readonly kind: 'put'; readonly product: Product }
  | { readonly kind: 'remove'; readonly key: GtinKey }
  /** Where the key is known, the product stays as it was: an old price is better than none. */
  | { readonly kind: 'reject'; readonly reason: RejectReason; readonly key: GtinKey | null }
