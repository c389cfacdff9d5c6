"""What an exchange draws is the shared coin's, sixteen tosses for each number of its node."""

from meter_sim.city.fused import RadioNode, Tosses
from meter_sim.coin import TOSSES_A_BLOCK, Coin


def drawn(node, count):
    tosses = Tosses(Coin(5), node, 9)
    return [tosses.draw() for _ in range(count)]


def test_draws_are_the_coins_tosses_of_the_nodes_next_number():
    node = RadioNode(6, is_root=False)
    node.sent = 7
    assert drawn(node, 5) == Coin(5).tosses(6, 9, 8, 5).tolist()
    assert node.sent == 8
    assert drawn(node, 3) == Coin(5).tosses(6, 9, 9, 3).tolist()


def test_after_sixteen_the_next_number_begins():
    node = RadioNode(6, is_root=False)
    both = Coin(5).tosses(6, 9, 1, TOSSES_A_BLOCK).tolist()
    both += Coin(5).tosses(6, 9, 2, 4).tolist()
    assert drawn(node, TOSSES_A_BLOCK + 4) == both
    assert node.sent == 2


def test_nothing_is_spent_before_the_first_draw():
    node = RadioNode(6, is_root=False)
    Tosses(Coin(5), node, 9)
    assert node.sent == 0
