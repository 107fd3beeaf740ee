"""A short file of our own writing in each language that is parsed, with characters that take several bytes."""

from __future__ import annotations

SNIPPETS: dict[str, str] = {
    "Python": '''"""Prices in cafés."""

import math


class Till:
    """Adds up what was sold, in cents."""

    def __init__(self, rate: float = 0.19) -> None:
        self.rate = rate
        self.sold: list[int] = []

    def add(self, cents: int, times: int = 1) -> None:
        """Adds a price as often as it was sold."""
        for _ in range(times):
            if cents < 0:
                raise ValueError(f"{cents} is below zero – naïve")
            self.sold.append(cents)

    def total(self) -> int:
        return math.ceil(sum(self.sold) * (1 + self.rate))


def change(paid: int, total: int) -> dict[int, int]:
    """Coins to give back, the largest first."""
    left, coins = paid - total, {}
    for coin in (200, 100, 50, 20, 10, 5, 2, 1):
        coins[coin], left = divmod(left, coin)
    return {coin: n for coin, n in coins.items() if n}
''',
    "JavaScript": """// Prices in cafés.
import { round } from "./money.js";

/** Adds up what was sold, in cents. */
export class Till {
  constructor(rate = 0.19) {
    this.rate = rate;
    this.sold = [];
  }

  add(cents, times = 1) {
    for (let i = 0; i < times; i += 1) {
      if (cents < 0) {
        throw new Error(`${cents} is below zero – naïve`);
      }
      this.sold.push(cents);
    }
  }
}

/** Coins to give back, the largest first. */
export function change(paid, total) {
  let left = paid - total;
  const coins = {};
  for (const coin of [200, 100, 50, 20, 10, 5, 2, 1]) {
    coins[coin] = Math.floor(left / coin);
    left = round(left % coin);
  }
  return coins;
}
""",
    "TypeScript": """interface Priced {
  cents: number;
}

/** Adds up what was sold in a café. */
export class Till<T extends Priced> {
  private sold: T[] = [];

  add(item: T, times = 1): void {
    for (let i = 0; i < times; i += 1) {
      if (item.cents < 0) {
        throw new RangeError(`${item.cents} is below zero`);
      }
      this.sold.push(item);
    }
  }

  total(): number {
    return this.sold.reduce((sum, item) => sum + item.cents, 0);
  }
}
""",
    "TSX": """type Props = { name: string; prices: number[] };

/** A list of prices in a café. */
export function Prices({ name, prices }: Props) {
  const total = prices.reduce((sum, cents) => sum + cents, 0);
  if (prices.length === 0) {
    return <p className="empty">Nothing sold – yet</p>;
  }
  return (
    <section title={name}>
      {prices.map((cents) => (
        <li key={cents}>{(cents / 100).toFixed(2)}</li>
      ))}
      <b>{total}</b>
    </section>
  );
}
""",
    "Java": """package cafe;

import java.util.ArrayList;
import java.util.List;

/** Adds up what was sold in a café. */
public class Till {
    private final List<Integer> sold = new ArrayList<>();

    /** Adds a price as often as it was sold. */
    public void add(int cents, int times) {
        for (int i = 0; i < times; i++) {
            if (cents < 0) {
                throw new IllegalArgumentException(cents + " is below zero – naïve");
            }
            sold.add(cents);
        }
    }

    public int total() {
        return sold.stream().mapToInt(Integer::intValue).sum();
    }
}
""",
    "Go": """package cafe

import "fmt"

// Till adds up what was sold in a café.
type Till struct {
	sold []int
}

// Add adds a price as often as it was sold.
func (t *Till) Add(cents, times int) error {
	for i := 0; i < times; i++ {
		if cents < 0 {
			return fmt.Errorf("%d is below zero – naïve", cents)
		}
		t.sold = append(t.sold, cents)
	}
	return nil
}

// Total is what was sold.
func (t *Till) Total() int {
	total := 0
	for _, cents := range t.sold {
		total += cents
	}
	return total
}
""",
    "Rust": """use std::fmt;

/// Adds up what was sold in a café.
pub struct Till {
    sold: Vec<i64>,
}

impl Till {
    /// Adds a price as often as it was sold.
    pub fn add(&mut self, cents: i64, times: usize) -> Result<(), String> {
        for _ in 0..times {
            if cents < 0 {
                return Err(format!("{} is below zero – naïve", cents));
            }
            self.sold.push(cents);
        }
        Ok(())
    }

    pub fn total(&self) -> i64 {
        self.sold.iter().sum()
    }
}

impl fmt::Display for Till {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.total())
    }
}
""",
    "C": """#include <stdio.h>

struct till {
    int sold[100];
    int count;
};

/* Adds a price as often as it was sold in the café. */
int till_add(struct till *till, int cents, int times)
{
    for (int i = 0; i < times; i++) {
        if (cents < 0) {
            fprintf(stderr, "%d is below zero – naïve\\n", cents);
            return -1;
        }
        till->sold[till->count++] = cents;
    }
    return 0;
}

int till_total(const struct till *till)
{
    int total = 0;
    for (int i = 0; i < till->count; i++)
        total += till->sold[i];
    return total;
}
""",
    "C++": """#include <stdexcept>
#include <vector>

namespace cafe {

/// Adds up what was sold in a café.
class Till {
public:
    void add(int cents, int times = 1) {
        for (int i = 0; i < times; ++i) {
            if (cents < 0) {
                throw std::invalid_argument("below zero – naïve");
            }
            sold_.push_back(cents);
        }
    }

    int total() const {
        int total = 0;
        for (int cents : sold_) {
            total += cents;
        }
        return total;
    }

private:
    std::vector<int> sold_;
};

}  // namespace cafe
""",
    "C#": """using System;
using System.Collections.Generic;
using System.Linq;

namespace Cafe
{
    /// <summary>Adds up what was sold in a café.</summary>
    public class Till
    {
        private readonly List<int> sold = new List<int>();

        /// <summary>Adds a price as often as it was sold.</summary>
        public void Add(int cents, int times = 1)
        {
            for (var i = 0; i < times; i++)
            {
                if (cents < 0)
                {
                    throw new ArgumentException($"{cents} is below zero – naïve");
                }
                sold.Add(cents);
            }
        }

        public int Total() => sold.Sum();
    }
}
""",
    "Ruby": """require_relative "money"

# Adds up what was sold in a café.
class Till
  def initialize(rate = 0.19)
    @rate = rate
    @sold = []
  end

  # Adds a price as often as it was sold.
  def add(cents, times = 1)
    times.times do
      raise ArgumentError, "#{cents} is below zero – naïve" if cents < 0

      @sold.push(cents)
    end
  end

  def total
    @sold.sum { |cents| cents * (1 + @rate) }
  end
end
""",
    "PHP": """<?php

namespace Cafe;

/**
 * Adds up what was sold in a café.
 */
class Till
{
    private array $sold = [];

    /** Adds a price as often as it was sold. */
    public function add(int $cents, int $times = 1): void
    {
        for ($i = 0; $i < $times; $i++) {
            if ($cents < 0) {
                throw new \\InvalidArgumentException("$cents is below zero – naïve");
            }
            $this->sold[] = $cents;
        }
    }

    public function total(): int
    {
        return array_sum($this->sold);
    }
}
""",
    "Kotlin": """package cafe

/** Adds up what was sold in a café. */
class Till(private val rate: Double = 0.19) {
    private val sold = mutableListOf<Int>()

    /** Adds a price as often as it was sold. */
    fun add(cents: Int, times: Int = 1) {
        for (i in 0 until times) {
            if (cents < 0) {
                throw IllegalArgumentException("$cents is below zero – naïve")
            }
            sold.add(cents)
        }
    }

    fun total(): Double = sold.sumOf { it * (1 + rate) }
}
""",
    "Scala": """package cafe

import scala.collection.mutable.ListBuffer

/** Adds up what was sold in a café. */
class Till(rate: Double = 0.19) {
  private val sold = ListBuffer.empty[Int]

  /** Adds a price as often as it was sold. */
  def add(cents: Int, times: Int = 1): Unit = {
    for (_ <- 0 until times) {
      if (cents < 0) {
        throw new IllegalArgumentException(s"$cents is below zero – naïve")
      }
      sold.append(cents)
    }
  }

  def total: Double = sold.map(_ * (1 + rate)).sum
}
""",
    "Bash": """#!/bin/bash
# Prices in cafés.

# Adds up the prices in a file, one a line.
total() {
  local file="$1"
  local sum=0
  while read -r cents; do
    if [ "$cents" -lt 0 ]; then
      echo "$cents is below zero – naïve" >&2
      return 1
    fi
    sum=$((sum + cents))
  done < "$file"
  echo "$sum"
}

total "$@"
""",
    "SQL": """-- What was sold in cafés.
CREATE TABLE sold (
    id INTEGER PRIMARY KEY,
    cents INTEGER NOT NULL,
    place TEXT DEFAULT 'café'
);

-- Sums of each place.
CREATE VIEW totals AS
SELECT place, SUM(cents) AS total
FROM sold
WHERE cents > 0
GROUP BY place
ORDER BY total DESC;

INSERT INTO sold (cents, place) VALUES (250, 'naïve'), (320, 'corner');
""",
}
