/**
 * The service's own model of a product, and the port through which the lookup reads it.
 */
import type { GtinKey } from './gtin.ts'

/** A price in cents of the one currency that the catalog trades in. */
export type Cents = number

/** What a product costs in one store. */
export interface StorePrice {
  readonly store: string
  readonly regularRetail: Cents
  readonly specialRetail: Cents
}

/** A trade item as this service knows it. Immutable. */
export interface Product {
  readonly key: GtinKey
  readonly sku: string
  readonly size1: string
  readonly size2: string
  readonly style: string
  readonly originalRetail: Cents
  readonly recommendRetail: Cents
  readonly subdivision: string
  readonly class: string
  readonly subclass: string
  readonly description: string
  readonly color: string
  readonly supplier: string
  /** In the order to answer them; a store occurs once. */
  readonly prices: readonly StorePrice[]
}

/** What a source that holds data of its own can tell about it. */
export interface DataFacts {
  /** The name of the data in force; it changes whenever the data does. */
  readonly generation: string
  /** The day that the data shows, `YYYY-MM-DD`. */
  readonly asOf: string
  readonly products: number
  /** What it takes on disk. */
  readonly bytes: number
  /** How long ago the data was read from the application it comes from. */
  readonly ageMs: number
}

/** Where products come from. The lookup knows nothing else about them. */
export interface GtinSource {
  /**
   * The product with this key, or null where there is none. A promise only where the source has to wait: one that
   * answers from memory costs the lookup no turn of the event loop. A throw or rejection means "can't tell", never "none".
   */
  lookup(key: GtinKey): Product | null | Promise<Product | null>
  /** Null while lookups can be answered, else the reason why not, in one line for the health answer. */
  trouble(): string | null
  /** What is known of the data; null where there is none yet. A source without data of its own has no such member. */
  facts?(): DataFacts | null
  /** Gives back what the source holds. The service calls it once: after its last exchange, or where it can't start. */
  close(): void | Promise<void>
}
