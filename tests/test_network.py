"""The flat vector and its matrices, shapes, descriptions and errors of networks."""

import pickle

import numpy as np
import pytest

import xpnn
from xpnn.errors import ArrayError, InputError, ModelFileError
from xpnn.network import Sequential

NETWORK = xpnn.mlp([2, 3, 4, 1], hidden=["sigmoid", xpnn.ELU(0.5)], output="sigmoid")


def test_the_flat_vector_holds_each_matrix_row_by_row(lib):
    params = lib(np.arange(30.0))
    first, second, third = NETWORK.unflatten(params)
    np.testing.assert_array_equal(lib.host(first["W"]), [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(lib.host(first["b"]), [6, 7, 8])
    np.testing.assert_array_equal(lib.host(second["W"]), np.arange(9, 21).reshape(3, 4))
    np.testing.assert_array_equal(lib.host(third["b"]), [29])


def test_flatten_is_the_inverse_of_unflatten(lib, dtype):
    params = NETWORK.init(3, like=lib(np.zeros(1), dtype))
    again = NETWORK.flatten(NETWORK.unflatten(params))
    lib.check(again, dtype)
    np.testing.assert_array_equal(lib.host(again), lib.host(params))


def test_initial_parameters_are_on_the_library_device_and_dtype_of_like(lib, dtype):
    params = NETWORK.init(0, like=lib(np.zeros(1), dtype))
    lib.check(params, dtype)
    assert tuple(params.shape) == (30,)


def test_initial_parameters_without_like_are_numpy_float64():
    params = NETWORK.init()
    assert type(params) is np.ndarray
    assert params.dtype == np.float64


def test_the_seed_decides_the_initial_parameters():
    assert (NETWORK.init(1) == NETWORK.init(1)).all()
    weights = NETWORK.init(1) != 0  # biases start at 0
    assert (NETWORK.init(1) != NETWORK.init(2))[weights].all()


@pytest.mark.parametrize("seed", [-1, 1.5, "a", None, True])
def test_a_seed_is_a_whole_number_of_at_least_zero(seed):
    with pytest.raises(InputError, match="seed must be an integer >= 0"):
        NETWORK.init(seed)


def test_forward_keeps_library_device_and_dtype_and_the_input(lib, dtype, rng):
    X = rng.normal(size=(5, 2))
    x = lib(X, dtype)
    y = NETWORK.forward(NETWORK.init(0, like=x), x)
    lib.check(y, dtype)
    assert tuple(y.shape) == (5, 1)
    np.testing.assert_array_equal(lib.host(x), lib.host(lib(X, dtype)))


def test_a_wrong_number_of_features_says_what_was_expected(lib):
    with pytest.raises(InputError, match=r"Dense\(n_in=2, n_out=3\): x must have shape \(\*, 2\), got \(5, 7\)"):
        NETWORK.forward(NETWORK.init(0, like=lib(np.zeros(1))), lib(np.zeros((5, 7))))


def test_a_wrong_number_of_parameters_says_what_was_expected(lib):
    with pytest.raises(InputError, match=r"params must have shape \(30,\) for this network, got \(29,\)"):
        NETWORK.forward(lib(np.zeros(29)), lib(np.zeros((5, 2))))


def test_parameters_and_data_of_two_libraries_are_an_error():
    torch = pytest.importorskip("torch")
    with pytest.raises(ArrayError, match="params is a torch array but X is a numpy array"):
        NETWORK.forward(torch.zeros(30), np.zeros((5, 2)))


def test_flatten_says_which_parameter_is_wrong(lib):
    layers = NETWORK.unflatten(lib(np.zeros(30)))
    with pytest.raises(InputError, match="flatten: expected 3 layers, got 2"):
        NETWORK.flatten(layers[:2])
    with pytest.raises(InputError, match="flatten: layer 2 must have W, b; got W"):
        NETWORK.flatten([layers[0], {"W": layers[1]["W"]}, layers[2]])
    with pytest.raises(InputError, match=r"flatten: W of layer 3 must have shape \(4, 1\), got \(3, 4\)"):
        NETWORK.flatten([layers[0], layers[1], layers[1] | {"b": layers[2]["b"]}])


def test_summary_prints_the_table_of_the_source(capsys):
    xpnn.mlp([2, 3, 4, 1], hidden="sigmoid", output="sigmoid").summary()
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "Network 2-3-4-1, n samples",
        "layer             W       b       Z and A  parameters",
        "1  Dense sigmoid  (2, 3)  (1, 3)  (n, 3)            9",
        "2  Dense sigmoid  (3, 4)  (1, 4)  (n, 4)           16",
        "3  Dense sigmoid  (4, 1)  (1, 1)  (n, 1)            5",
        "30 parameters in all",
    ]


def test_a_network_is_its_description():
    same = xpnn.mlp([2, 3, 4, 1], hidden=["sigmoid", xpnn.ELU(0.5)], output="sigmoid")
    other = xpnn.mlp([2, 3, 4, 1], hidden=["sigmoid", xpnn.ELU(0.6)], output="sigmoid")
    assert same == NETWORK
    assert hash(same) == hash(NETWORK)
    assert other != NETWORK
    assert eval(repr(NETWORK), vars(xpnn)) == NETWORK
    assert pickle.loads(pickle.dumps(NETWORK)) == NETWORK
    assert Sequential.from_json(NETWORK.to_json()) == NETWORK


def test_a_description_cannot_be_changed():
    with pytest.raises(AttributeError):
        NETWORK.layers = ()


@pytest.mark.parametrize(
    "layer",
    [{}, {"class": "Dense"}, {"class": "Dense", "units": -1}, {"class": "Dense", "wide": 2}, 7],
)
def test_a_broken_description_is_an_error_that_shows_it(layer):
    with pytest.raises(ModelFileError, match="cannot rebuild a part of the model from"):
        Sequential.from_json({"layers": [layer], "input_shape": [2]})


def test_a_part_that_is_not_known_is_named():
    with pytest.raises(ModelFileError, match="the model uses a part 'Nothing' that this xpnn does not have"):
        Sequential.from_json({"layers": [{"class": "Nothing"}], "input_shape": [2]})


def test_sequential_needs_layers_and_an_input_shape():
    with pytest.raises(InputError, match="at least one layer is needed"):
        xpnn.Sequential(input_shape=(2,))
    with pytest.raises(InputError, match=r"layer 2 must be a Layer such as Dense\(3\), got 'relu'"):
        xpnn.Sequential(xpnn.Dense(1), "relu", input_shape=(2,))
    for shape in (2, (0,), ("2",), "2", None):
        with pytest.raises(InputError, match=r"input_shape must be a tuple such as \(2,\)"):
            xpnn.Sequential(xpnn.Dense(1), input_shape=shape)


def test_mlp_needs_two_sizes_and_an_activation_per_hidden_layer():
    for sizes in ([2], [], "23", 5, None):
        with pytest.raises(InputError, match="mlp: sizes must hold an input and an output at least"):
            xpnn.mlp(sizes)
    with pytest.raises(InputError, match="mlp: 2 hidden layers need as many activations, got 1"):
        xpnn.mlp([2, 3, 4, 1], hidden=["relu"])
    assert len(xpnn.mlp([3, 1]).layers) == 1
    assert xpnn.mlp(np.array([2, 3, 1])) == xpnn.mlp([2, 3, 1])
    with pytest.raises(InputError, match=r"activation must be a name .* write ReLU\(\)"):
        xpnn.mlp([2, 3, 1], hidden=xpnn.ReLU)


def test_softmax_over_one_node_is_refused():
    with pytest.raises(InputError, match="softmax over one node is always 1: use sigmoid"):
        xpnn.mlp([2, 1], output="softmax")


def test_the_summary_uses_the_names_that_users_type(capsys):
    xpnn.mlp([2, 3, 1], hidden="leaky_relu").summary()
    assert "1  Dense leaky_relu" in capsys.readouterr().out


def test_layers_in_a_list_or_without_brackets_say_how_to_write_them():
    with pytest.raises(InputError, match=r"layer 1 must be a Layer .* one by one: Sequential\(\*layers"):
        xpnn.Sequential([xpnn.Dense(1)], input_shape=(2,))
    with pytest.raises(InputError, match=r"layer 2 must be a Layer .*Write Dropout\(\)"):
        xpnn.Sequential(xpnn.Dense(1), xpnn.Dropout, input_shape=(2,))
